"""GalaxiesML: HSC images with spectroscopic redshifts."""
