"""Named experiments as YAML files, and the schema they are checked against."""

from kphotoz.recipes.load import DEFAULT, dump, load, names, reverse
from kphotoz.recipes.schema import Duplicates, Recipe

__all__ = ["DEFAULT", "Duplicates", "Recipe", "dump", "load", "names", "reverse"]
