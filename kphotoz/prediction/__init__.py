"""Predictions that stream: from files and surveys into parquet, FITS or CSV."""

from kphotoz.prediction.load_run import load_run
from kphotoz.prediction.predictor import Summary, predict

__all__ = ["Summary", "load_run", "predict"]
