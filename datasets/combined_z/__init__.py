"""The union of GalaxiesML and TransferZ-Images."""
