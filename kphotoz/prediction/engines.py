"""Which engine predicts: Keras, or OpenVINO where it is faster and agrees."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kphotoz.backend import accelerators
from kphotoz.errors import InputError, unknown
from kphotoz.prediction import keras_engine, openvino_engine

__all__ = ["ENGINES", "Engine", "choose", "start"]

ENGINES = ("auto", "keras", "openvino")

# Rows from which the 10 s of an export are repaid, by the axes of an input: measured on
# 2 cores with AVX2 in float32. Images: 400 -> 450 a second with a ResNet-18 repay it at
# 36,000, 3,900 -> 6,800 a second with the small network at 91,000. Tables: 140,000 ->
# 520,000 a second at 1,900,000.
_PAYS = {3: 100_000, 2: 2_000_000}

# Largest |z - z of Keras| / (1 + z of Keras) of a batch, where either computes in that
# precision. Our choice: a hundredth of the error of good redshifts, and what the 8 bits
# of bfloat16 allow.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}
_NOTHING = "no usable row among the first to compare OpenVINO with Keras"


@dataclasses.dataclass(frozen=True)
class Engine:
    """What computes predictions.

    Args:
        call: function from a batch (batch_size, ...) float32 to predictions.
        identity: dict of name, version and precision, which decide the last bits.
        why: str. Reason for the choice.
    """

    call: Callable[[np.ndarray], np.ndarray]
    identity: dict[str, str]
    why: str

    def __str__(self) -> str:
        return f"{' '.join(self.identity.values())} ({self.why})"


def choose(
    model: Any,
    wanted: str,
    *,
    shapes: Iterable[tuple[int, ...]],
    rows: int,
    batch_size: int,
    precision: str,
    sample: Callable[[], np.ndarray | None],
) -> Engine:
    """Returns the engine that predicts with a model.

    Equal arguments give equal choices: no time is measured.

    Args:
        model: keras.Model, or anything with `predict_on_batch` for Keras' engine.
        wanted: "auto", "keras" or "openvino".
        shapes: iterable of tuples of int. One input of each source.
        rows: int. Rows to predict in all.
        batch_size: int. Rows in every batch.
        precision: "float32", or "mixed_bfloat16" to allow OpenVINO bfloat16 where the
            processor has it. Keras computes as the model was saved.
        sample: function that returns a batch on which the two are compared, or None
            where no row can be used; "auto" is then Keras.

    Raises:
        InputError: an unknown engine, or OpenVINO is wanted and cannot be used.
    """
    if wanted not in ENGINES:
        raise unknown("engine", wanted, ENGINES)
    if wanted == "openvino" and not openvino_engine.installed():
        raise InputError(
            "Wanted: the engine openvino. Received: an installation without it. "
            "pip install 'kphotoz[openvino]', or leave out --engine."
        )
    lean = keras_engine.lean(model)
    keras_call = keras_engine.keras_call(lean)
    shapes = sorted(set(shapes))
    why = "as asked"
    if wanted == "auto":
        why = _why_not(model, shapes, rows)
    if wanted == "openvino" or not why:
        half = precision == "mixed_bfloat16" and openvino_engine.has_bfloat16()
        precision = "bfloat16" if half else "float32"
        try:
            batch = sample()
            if batch is None and wanted == "auto":
                raise openvino_engine.Unusable(_NOTHING)
            return _agreeing(lean, keras_call, shapes, batch_size, precision, batch)
        except openvino_engine.Unusable as error:
            if wanted == "openvino":
                raise InputError(
                    f"Wanted: the engine openvino. Received: {error}. Leave out "
                    "--engine, or give --engine keras."
                ) from error
            why = str(error)
    return Engine(keras_call, keras_engine.identity(lean), why)


def start(
    model: Any, identity: dict[str, str], shape: tuple[int, ...], batch_size: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of an engine that was chosen elsewhere.

    Args:
        model: keras.Model.
        identity: dict of name, version and precision, of the engine that was chosen.
        shape: tuple of int. One input.
        batch_size: int. Rows in every batch.

    Raises:
        InputError: this machine has another version of the engine.
    """
    lean = keras_engine.lean(model)
    if identity["name"] == "keras":
        here, call = keras_engine.identity(lean), keras_engine.keras_call(lean)
    else:
        precision = identity["precision"]
        here = openvino_engine.identity(precision)
        call = openvino_engine.openvino_call(lean, shape, batch_size, precision)
    if here != identity:
        raise InputError(
            f"Wanted: the engine {' '.join(identity.values())} on every worker. "
            f"Received: {' '.join(here.values())}. Install the same versions."
        )
    return call


def _why_not(model: Any, shapes: list[tuple[int, ...]], rows: int) -> str:
    """Returns why OpenVINO is not even tried, or ""."""
    if not hasattr(model, "save"):
        return "no Keras model"
    if not openvino_engine.installed():
        return "OpenVINO is not installed: pip install 'kphotoz[openvino]'"
    if accelerators():
        return "there is a GPU"
    pays = _PAYS[len(shapes[0])]
    return f"OpenVINO pays from {pays} rows" if rows < pays else ""


def _agreeing(
    model: Any,
    keras_call: Callable[[np.ndarray], np.ndarray],
    shapes: list[tuple[int, ...]],
    batch_size: int,
    precision: str,
    sample: np.ndarray | None,
) -> Engine:
    if len(shapes) > 1:
        raise openvino_engine.Unusable(f"inputs have several shapes, {shapes}")
    call = openvino_engine.openvino_call(model, shapes[0], batch_size, precision)
    identity = openvino_engine.identity(precision)
    if sample is None:
        return Engine(call, identity, _NOTHING)
    difference = _difference(call(sample), keras_call(sample))
    precisions = {precision, keras_engine.identity(model)["precision"]}
    tolerance = max(_TOLERANCE[each] for each in precisions)
    reason = f"differs from Keras by up to {difference:.1e} (1 + z) in a batch"
    if not difference <= tolerance:
        raise openvino_engine.Unusable(
            f"OpenVINO {reason}, allowed are {tolerance:.0e}"
        )
    return Engine(call, identity, reason)


def _difference(predicted: np.ndarray, wanted: np.ndarray) -> float:
    """Returns the largest |found - wanted| / (1 + |wanted|); inf if NaNs differ."""
    if predicted.shape != wanted.shape:
        return np.inf
    same = (predicted == wanted) | (np.isnan(predicted) & np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        errors = np.abs(predicted - wanted) / (1 + np.abs(wanted))
    return float(np.where(same, 0, np.nan_to_num(errors, nan=np.inf)).max(initial=0))
