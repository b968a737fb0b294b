"""Tables in CSV, TSV, ECSV, FITS and parquet, whole or in chunks of rows.

One reader for each format, and one idea of a missing cell, whoever reads.
"""

from kphotoz.tables.cells import MISSING
from kphotoz.tables.formats import SUFFIXES, open_table
from kphotoz.tables.table import Table
from kphotoz.tables.whole import column, read_table

__all__ = ["MISSING", "SUFFIXES", "Table", "column", "open_table", "read_table"]
