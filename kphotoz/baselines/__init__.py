"""Classical rivals of the networks."""

from kphotoz.baselines.random_forest import GRID, RandomForest

__all__ = ["GRID", "RandomForest"]
