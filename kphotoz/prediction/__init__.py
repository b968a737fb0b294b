"""Predictions that stream: from files and surveys into parquet, FITS or CSV."""

from kphotoz.prediction.engine import Summary, predict
from kphotoz.prediction.run import load_run

__all__ = ["Summary", "load_run", "predict"]
