"""Damaged tables give one InputError or photometry, never another exception or a hang.

Hypothesis is derandomised: every run tries the same files.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kphotoz.data.catalog_spec import CatalogSpec
from kphotoz.data.importing import row_flags, row_groups
from kphotoz.data.readers import CatalogFile
from kphotoz.errors import InputError

CELLS = ["", "x", "nan", "-inf", "1e400", "99", "-99", "-9999", "0", "-1", "1;2", "\0"]


def use(spec):
    """Does all that import and prediction do with a table; returns what came of it."""
    try:
        with CatalogFile(spec) as file:
            file.require("redshift")
            row_groups(file)
            assert len(row_flags(file)) == len(file.table["id"]) == len(file)
            for _, photometry, flags in file.chunks(3):
                flux = photometry[flags == ""][..., 0]
                assert np.isfinite(flux).any(axis=1).all()
        return "used"
    except InputError as error:
        assert "\n" not in str(error) and "Wanted" in str(error)
        return "refused"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "ecsv", "fits", "parquet"])
def test_mutated_table_is_used_or_refused(tmp_path, catalogs, damage, suffix):
    path = catalogs.write(tmp_path / f"table.{suffix}", catalogs.columns())
    content = path.read_bytes()
    spec = CatalogSpec.create(file=path, **catalogs.fields())
    assert use(spec) == "used"
    seen = set()

    @damage.quick(60)
    @given(damage.CHANGES)
    def mutate(changes):
        path.write_bytes(damage.mutated(content, changes))
        seen.add(use(spec))

    mutate()
    assert "refused" in seen


def test_swapped_and_replaced_cells_are_used_or_refused(tmp_path, catalogs, damage):
    path = catalogs.write(tmp_path / "table.csv", catalogs.columns())
    rows = [line.split(",") for line in path.read_text().splitlines()]
    spec = CatalogSpec.create(file=path, **catalogs.fields())
    place = st.tuples(st.integers(0, 8), st.integers(0, 7))
    seen = set()

    @damage.quick(60)
    @given(
        st.lists(st.tuples(place, place, st.sampled_from([None, *CELLS])), max_size=4)
    )
    def mutate(changes):
        changed = [list(row) for row in rows]
        for (row, column), (other, place), cell in changes:
            here, there = changed[row][column], changed[other][place]
            changed[row][column] = there if cell is None else cell
            if cell is None:
                changed[other][place] = here
        path.write_text("\n".join(",".join(row) for row in changed))
        seen.add(use(spec))

    mutate()
    assert seen == {"used", "refused"}
