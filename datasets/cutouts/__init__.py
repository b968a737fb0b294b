"""A user's own cutouts as a survey."""
