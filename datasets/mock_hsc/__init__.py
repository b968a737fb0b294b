"""The embedded mock survey."""
