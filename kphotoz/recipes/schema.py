"""The fields of a recipe. A recipe is data only: nothing in it is ever executed."""

from typing import Any, Literal

import pydantic

from kphotoz.metrics import POINT, Window
from kphotoz.training.settings import Training

__all__ = ["Deployment", "Evaluation", "EvaluationWindow", "Recipe", "SurveyChoice"]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class SurveyChoice(_Strict):
    """A survey by name, `builder/config`, and options of its builder."""

    survey: str
    options: dict[str, Any] = {}


class Deployment(_Strict):
    """The sample where the model will be used, for which `compare` answers.

    `sample` is `source` or `target`: its test split. With `like`, the name of a survey
    of the same bands and pixels, that test split is re-weighted to resemble all of it;
    its redshifts are not used.
    """

    sample: Literal["source", "target"] = "target"
    truth: Literal["z_true", "label"] = "label"
    like: str | None = None


# Of the tables of predictions; what else there is depends on the survey.
_TEXT_COLUMNS = {"id", "group", "sample"}


class EvaluationWindow(_Strict):
    """The objects with ``low < z <= high``, and which redshift is meant."""

    on: Literal["z_true", "z_pred"]
    low: float
    high: float

    @pydantic.model_validator(mode="before")
    @classmethod
    def _on_is_a_word(cls, value: Any) -> Any:
        # YAML 1.1 reads a bare `on` as true.
        if isinstance(value, dict) and True in value:
            return {"on" if key is True else key: v for key, v in value.items()}
        return value

    @pydantic.model_validator(mode="after")
    def _edges_ascend(self) -> "EvaluationWindow":
        if not self.low < self.high:
            raise ValueError("a window needs low < high")
        return self


class Evaluation(_Strict):
    """What is measured, where, and how errors are drawn.

    `windows`: ranges of redshift; the first one is the headline's; none means all
    redshifts. `z_true` stands for what a sample is scored against, label or truth.
    `grid`: the range outside of which predictions and labels are counted. `by`: columns
    of the predictions, cut at edges (null: categories, or quartiles).
    """

    metrics: tuple[str, ...] = ("nmad", "bias_median", "outlier_015", "catastrophic")
    headline: str = "nmad"
    windows: tuple[EvaluationWindow, ...] = ()
    grid: tuple[float, float] | None = None
    by: dict[str, tuple[float, ...] | None] = {}
    draws: int = pydantic.Field(1000, ge=100)

    @property
    def ranges(self) -> tuple[Window | None, ...]:
        """The windows as `kphotoz.metrics` takes them, the headline's first."""
        windows = [Window(one.low, one.high, one.on) for one in self.windows]
        return tuple(windows) or (None,)

    @pydantic.field_validator("metrics")
    @classmethod
    def _metrics_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in POINT:
                raise ValueError(f"metrics must be among {', '.join(POINT)}")
        return tuple(dict.fromkeys(value))

    @pydantic.model_validator(mode="after")
    def _fields_agree(self) -> "Evaluation":
        if self.headline not in self.metrics:
            raise ValueError(f"headline must be one of metrics {self.metrics}")
        cuts = [("grid", self.grid), *((f"by.{k}", v) for k, v in self.by.items())]
        for name, edges in cuts:
            if edges is not None and (
                len(edges) < 2
                or any(not a < b for a, b in zip(edges, edges[1:], strict=False))
            ):
                raise ValueError(f"{name} needs two or more ascending numbers, or null")
        for name in _TEXT_COLUMNS & {k for k, v in self.by.items() if v is not None}:
            raise ValueError(
                f"by.{name} is a column of text: it has no edges, but null"
            )
        return self


class Duplicates(_Strict):
    """Objects of the target that the source holds too: the target's entry wins.

    `match` is `position`, within `radius` [arcsec], or `id`.
    """

    match: Literal["position", "id"] = "position"
    radius: float = pydantic.Field(1.0, gt=0)


class Recipe(_Strict):
    """A named experiment, with every default resolved."""

    title: str
    name: str = ""
    task: Literal["redshift"] = "redshift"
    source: SurveyChoice | None = None
    target: SurveyChoice
    duplicates: Duplicates | None = None
    folds: int = pydantic.Field(1, ge=1)
    deployment: Deployment = Deployment()
    label_range: tuple[float, float]
    model: dict[str, Any] = {"name": "small_cnn"}
    training: Training = Training()
    regimes: tuple[str, ...]
    overrides: dict[str, dict[str, Any]] = {}
    seeds: int = pydantic.Field(3, ge=1)
    fractions: tuple[float, ...] = (1.0,)
    search: dict[str, list[Any]] = {}
    sweep: dict[str, list[Any]] = {}
    evaluation: Evaluation = Evaluation()
    published: dict[str, Any] | None = None

    @pydantic.field_validator("fractions")
    @classmethod
    def _fractions_lie_in_range(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or any(not 0 < f <= 1 for f in value):
            raise ValueError("fractions must lie in (0, 1]")
        return tuple(sorted(set(value)))

    @pydantic.field_validator("published")
    @classmethod
    def _published_can_be_shown(cls, value: dict | None) -> dict | None:
        _check_published(value or {})
        return value

    @pydantic.field_validator("search")
    @classmethod
    def _search_tries_something(cls, value: dict[str, list]) -> dict[str, list]:
        for name, tried in value.items():
            if not tried:
                raise ValueError(f"search.{name} needs values to try, or leave it out")
        return value

    @pydantic.field_validator("label_range")
    @classmethod
    def _range_is_ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError("label_range must be [low, high] with low < high")
        return value


def _check_published(part: dict[str, Any]) -> None:
    """Raises where the page could not show numbers, hours after they were given."""
    rows = part.get("rows") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(
            "published.rows must be a list of mappings such as "
            f"{{regime: lora, target: 0.02}}, not {rows!r}"
        )
    window = part.get("window") or ""
    edges = [window.get(k) for k in ("low", "high")] if isinstance(window, dict) else []
    good = isinstance(window, str | dict)
    if not good or not all(isinstance(edge, int | float) for edge in edges):
        raise ValueError(f"published.window must have low and high, not {window!r}")
    for key in ("tables", "fractions"):
        inner = part.get(key) or []
        inner = [inner] if isinstance(inner, dict) else inner
        if not isinstance(inner, list) or not all(isinstance(x, dict) for x in inner):
            raise ValueError(f"published.{key} must be a list of mappings")
        for one in inner:
            _check_published({**one, "fractions": None} if key == "fractions" else one)
