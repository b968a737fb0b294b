"""TransferZ-Images: HSC images with COSMOS2020 photometric redshifts."""
