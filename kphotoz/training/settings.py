"""Settings of a training run, equal for every regime unless its row differs."""

from typing import Literal

import pydantic

__all__ = ["Training"]


class Training(pydantic.BaseModel):
    """How every regime trains; a regime's own row overrides single fields.

    Epochs count passes over the training set of the regime, more where they make fewer
    than `minimum_steps`; the epoch with the lowest validation score is kept.

    Args:
        optimizer: "adamw" decays weights apart from the gradient, biases and
            normalisations excepted; "adam_l2" adds ``weight_decay * w`` to the gradient
            of everything that trains, as torch's `Adam(weight_decay=)` does.
        schedule: "cosine" with `warmup`; "constant"; "plateau" divides the rate by ten
            when the score has not fallen for six evaluations, see `Plateau`.
        warmup: float in [0, 1). Share of the steps in which a cosine's rate rises; the
            other schedules start at their rate.
        clip_norm: float > 0 or None. Longest gradient.
        clip_scope: "variable" bounds the gradient of each weight, "global" that of all
            weights together, as torch's `clip_grad_norm_` does.
        ema: float in (0, 1) or None. Momentum of the averaged weights that are judged.
        score_smoothing: "none", "ema" or "ema_paper", see `smooth`. The smoothed score
            chooses the epoch and stops early; the plateau schedule sees the raw one.
        early_stopping: int >= 1 or None. Stop after so many evaluations, one an epoch,
            without a lower score.
        label_clamp: (low, high) or None. Training labels are cut to this range,
            validation labels never.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    # Defaults: our choices, made on validation data of quasars and of the mock survey.
    loss: Literal["hsc", "robust"] = "robust"
    optimizer: Literal["adamw", "adam_l2"] = "adamw"
    learning_rate: float = pydantic.Field(4e-3, gt=0)
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    epochs: int = pydantic.Field(40, ge=1)
    batch_size: int = pydantic.Field(64, ge=1)
    weight_decay: float = pydantic.Field(1e-2, ge=0)
    warmup: float = pydantic.Field(0.05, ge=0, lt=1)
    clip_norm: float | None = pydantic.Field(1.0, gt=0)
    clip_scope: Literal["variable", "global"] = "variable"
    ema: float | None = pydantic.Field(0.99, gt=0, lt=1)
    minimum_steps: int = pydantic.Field(400, ge=0)
    score_smoothing: Literal["none", "ema", "ema_paper"] = "none"
    early_stopping: int | None = pydantic.Field(None, ge=1)
    label_clamp: tuple[float, float] | None = None

    @pydantic.field_validator("label_clamp")
    @classmethod
    def _clamp_is_ordered(
        cls, value: tuple[float, float] | None
    ) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("label_clamp must be [low, high] with low < high")
        return value
