"""Ways to carry a base model to new ground truth, as combinations of four slots."""

from kphotoz.regimes.regime import Regime, base, get, names, select

__all__ = ["Regime", "base", "get", "names", "select"]
