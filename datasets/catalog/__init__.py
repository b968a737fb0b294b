"""A user's own table of magnitudes or fluxes as a survey."""
