"""Settings of a training run, equal for every regime unless its row differs."""

from typing import Literal

import pydantic

__all__ = ["Training"]


class Training(pydantic.BaseModel):
    """How every regime trains; a regime's own row overrides single fields.

    Epochs count passes over the training set of the regime, more where they make fewer
    than `minimum_steps`; the epoch with the lowest validation score is kept.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    # Defaults: our choices, made on validation data of quasars and of the mock survey.
    loss: Literal["hsc", "robust"] = "robust"
    learning_rate: float = pydantic.Field(4e-3, gt=0)
    epochs: int = pydantic.Field(40, ge=1)
    batch_size: int = pydantic.Field(64, ge=1)
    weight_decay: float = pydantic.Field(1e-2, ge=0)
    warmup: float = pydantic.Field(0.05, ge=0, lt=1)
    clip_norm: float | None = pydantic.Field(1.0, gt=0)
    ema: float | None = pydantic.Field(0.99, gt=0, lt=1)
    minimum_steps: int = pydantic.Field(400, ge=0)
