"""Files from strangers: what is checked before a library reads them.

`hdf5_files`, `fits_files` and `yaml_text` are modules of their own, since each imports
what reads such files.
"""

from kphotoz.untrusted.checks import (
    EXPANSION,
    check_pattern,
    check_size,
    damaged,
    parse_json,
)

__all__ = ["EXPANSION", "check_pattern", "check_size", "damaged", "parse_json"]
