"""The check that a table of one's own runs holds one prediction an object."""

from collections.abc import Collection, Mapping

# Columns that make several rows of one object, or several surveys, in one table.
RUN_COLUMNS = ("regime", "seed", "fraction", "sample")
# What tells a table of `compare`, and one of `fit`, from a user's own.
_OURS = ({"regime", "seed"}, {"sample", "z_label", "z_pred"})


def check_one_run(columns: Mapping, split: Collection[str], where: str = "") -> None:
    """Checks that a table of `fit` or `compare` mixes no runs and no samples.

    Args:
        columns: name -> array.
        split: names of columns by which the table is told apart anyway.
        where: what the message calls the table [default: nothing].

    Raises:
        InputError: it mixes them; names a value to choose.
    """
    import numpy as np

    from kphotoz.errors import InputError

    if not any(names <= set(columns) for names in _OURS):
        return
    held = [name for name in RUN_COLUMNS if name in columns and name not in split]
    mixed = [name for name in held if np.unique(columns[name]).size > 1]
    if mixed:
        raise InputError(
            f"Wanted: one prediction an object. Received: {where or 'a table'} that "
            f"mixes several values of {', '.join(mixed)}. Choose one, for example "
            f"--where {mixed[0]}={columns[mixed[0]][0]}."
        )
