"""Small models of many families, on which the adapter contract is run.

`benchmarks/adapter_families.py` makes the table of docs/lora.md of them, and
`tests/guarantees/test_families.py` runs them.
"""

from families.applications import APPLICATIONS
from families.case import Case, check
from families.several import SEVERAL
from families.text import TEXT
from families.vision import VISION

__all__ = ["CASES", "Case", "check"]

CASES = {case.name: case for case in [*APPLICATIONS, *TEXT, *VISION, *SEVERAL]}
