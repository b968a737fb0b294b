"""A recipe with the defaults of its architecture and of its regimes' rows filled in."""

from collections.abc import Iterable

from kphotoz import models
from kphotoz.recipes import Recipe
from kphotoz.regimes.regime import Regime, names

__all__ = ["resolved"]


def resolved(recipe: Recipe, regimes: Iterable[Regime]) -> Recipe:
    """Returns the recipe as a run folder keeps it: every rate and policy is in it.

    It means the same as the recipe, also after the defaults have changed.

    Args:
        recipe: Recipe.
        regimes: those that are run, with the recipe's overrides applied.

    Raises:
        InputError: a setting that the architecture does not have.
    """
    rows: dict[str, dict] = {}
    for one in regimes:
        if one.row in (*names(), "base"):  # others are made from these by the recipe
            unsaid = {"name", "description"}
            if one.row != one.name:
                unsaid.add("finish")  # the name says it
            fields = one.model_dump(mode="json", exclude=unsaid)
            rows[one.row] = {**rows.get(one.row, {}), **fields}
    changes = {
        "model": models.resolve(recipe.model),
        "overrides": {**recipe.overrides, **rows},
    }
    return recipe.model_copy(update=changes)
