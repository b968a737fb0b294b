"""Regimes x seeds x label fractions on the same test sets."""

from kphotoz.comparison.run_jobs import compare
from kphotoz.comparison.write import summarize

__all__ = ["compare", "summarize"]
