"""Metrics of any table of redshifts, and of several on the objects they share."""

from kphotoz.evaluation.choice import Choice, Cut
from kphotoz.evaluation.evaluate import evaluate
from kphotoz.evaluation.table_spec import TableSpec, parse_tables

__all__ = ["Choice", "Cut", "TableSpec", "evaluate", "parse_tables"]
