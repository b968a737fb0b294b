"""The fields of a recipe. A recipe is data only: nothing in it is ever executed."""

from typing import Any, Literal

import pydantic

from kphotoz.training.settings import Training

__all__ = ["Deployment", "Evaluation", "Recipe", "SurveyChoice"]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class SurveyChoice(_Strict):
    """A survey by name, `builder/config`, and options of its builder."""

    survey: str
    options: dict[str, Any] = {}


class Deployment(_Strict):
    """The sample where the model will be used, for which `compare` answers.

    `sample` is `source` or `target`: its test split. With `like` (a file or survey of
    unlabelled images) that test split is re-weighted to resemble it.
    """

    sample: Literal["source", "target"] = "target"
    truth: Literal["z_true", "label"] = "label"
    like: str | None = None


class Evaluation(_Strict):
    """What is measured, in which window of the truth, and how errors are drawn."""

    metrics: tuple[str, ...] = ("nmad", "bias_median", "outlier_015", "catastrophic")
    headline: str = "nmad"
    window_z_true: tuple[float, float] | None = None
    draws: int = pydantic.Field(1000, ge=100)


class Recipe(_Strict):
    """A named experiment, with every default resolved."""

    title: str
    name: str = ""
    task: Literal["redshift"] = "redshift"
    source: SurveyChoice | None = None
    target: SurveyChoice
    deployment: Deployment = Deployment()
    label_range: tuple[float, float]
    model: dict[str, Any] = {"name": "small_cnn"}
    training: Training = Training()
    adaptation: dict[str, Any] = {}
    regimes: tuple[str, ...]
    overrides: dict[str, dict[str, Any]] = {}
    seeds: int = pydantic.Field(3, ge=1)
    fractions: tuple[float, ...] = (1.0,)
    search: dict[str, list[Any]] = {}
    evaluation: Evaluation = Evaluation()
    published: dict[str, Any] | None = None

    @pydantic.field_validator("fractions")
    @classmethod
    def _fractions_lie_in_range(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or any(not 0 < f <= 1 for f in value):
            raise ValueError("fractions must lie in (0, 1]")
        return tuple(sorted(set(value)))

    @pydantic.field_validator("label_range")
    @classmethod
    def _range_is_ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError("label_range must be [low, high] with low < high")
        return value
