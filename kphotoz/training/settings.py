"""Settings of a training run, equal for every regime unless its row differs."""

from typing import Literal

import pydantic

__all__ = ["Training"]


class Training(pydantic.BaseModel):
    """How every regime trains; a regime's own row overrides single fields.

    Epochs count passes over the training set of the regime; the epoch with the lowest
    validation loss is kept.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    loss: Literal["hsc", "robust"] = "robust"
    learning_rate: float = pydantic.Field(1e-3, gt=0)
    epochs: int = pydantic.Field(20, ge=1)
    batch_size: int = pydantic.Field(64, ge=1)
    weight_decay: float = pydantic.Field(1e-4, ge=0)
    warmup: float = pydantic.Field(0.05, ge=0, lt=1)
    clip_norm: float | None = pydantic.Field(1.0, gt=0)
    ema: float | None = pydantic.Field(None, gt=0, lt=1)
    minimum_steps: int = pydantic.Field(0, ge=0)
