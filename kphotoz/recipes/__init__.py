"""Named experiments as YAML files, and the schema they are checked against."""

from kphotoz.recipes.load import DEFAULT, dump, load, names
from kphotoz.recipes.schema import Recipe

__all__ = ["DEFAULT", "Recipe", "dump", "load", "names"]
