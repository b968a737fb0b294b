"""Regimes x seeds x label fractions on the same test sets."""

from kphotoz.comparison.run import compare
from kphotoz.comparison.write import summarize

__all__ = ["compare", "summarize"]
