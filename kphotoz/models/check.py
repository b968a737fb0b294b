"""Compares inputs with those a model was made for."""

from collections.abc import Sequence
from typing import Any, Protocol

from kphotoz.errors import InputError

__all__ = ["check_input"]


class _Inputs(Protocol):
    """What a survey, a sample's facts and a stream all say of their inputs."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def bands(self) -> Sequence[str]: ...

    @property
    def pixel_scale(self) -> float | None: ...

    @property
    def zero_point(self) -> Sequence[float] | None: ...

    @property
    def input_shape(self) -> tuple[int, ...]: ...


def check_input(model: Any, inputs: _Inputs) -> None:
    """Refuses inputs that are not what a model was trained on.

    Args:
        model: keras.Model, made by `build_photoz`, adapted from one, or any other; or
            what else has `layers` and `input_shape`, without which they pass.
        inputs: SurveyInfo or Stream.

    Raises:
        InputError: their kind, band order, pixel scale, zero points or size differ.
    """
    received = tuple(inputs.input_shape)
    wanted = tuple(getattr(model, "input_shape", (None, *received)))[1:]
    if len(wanted) != len(received):
        mine, theirs = ("photometry", "images")[:: 1 if len(wanted) == 2 else -1]
        raise InputError(
            f"Wanted: {mine}, as the model was trained on. Received: {theirs} in "
            f"{inputs.name}. Choose other inputs; a table of photometry takes "
            "--magnitudes or --fluxes, and images neither."
        )
    for layer in getattr(model, "layers", []):
        if hasattr(layer, "bands") and hasattr(layer, "check"):
            layer.check(inputs.bands, inputs.pixel_scale, inputs.zero_point)
    if any(size not in (None, got) for size, got in zip(wanted, received, strict=True)):
        axes = "(height, width, band)" if inputs.kind == "image" else "(band, 2)"
        fix = "Cut them to that size." if inputs.kind == "image" else "Check --bands."
        raise InputError(
            f"Wanted: inputs {axes} of {wanted}, as the model was "
            f"trained on. Received: {received} in {inputs.name}. {fix}"
        )
