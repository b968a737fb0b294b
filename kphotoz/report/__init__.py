"""A comparison as tables, figures and one page."""

from kphotoz.report.figures import write_figures
from kphotoz.report.html import write_html
from kphotoz.report.joined import joined_tables
from kphotoz.report.requirements import magnitude_facts
from kphotoz.report.terminal_tables import estimates_table, terminal_table, write_csv

__all__ = [
    "estimates_table",
    "joined_tables",
    "magnitude_facts",
    "terminal_table",
    "write_csv",
    "write_figures",
    "write_html",
]
