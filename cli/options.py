"""Options that mean the same in every command."""

import importlib
import os
import pathlib
import sys
from collections.abc import Callable

import click


def _set_backend(context: click.Context, parameter: click.Parameter, value: str | None):
    # Keras reads this once, when first imported, which no command does at its top.
    if value:
        os.environ["KERAS_BACKEND"] = value
    _import_backend()
    return value


def _import_backend() -> None:
    """Imports Keras and TensorFlow without the notes that they print about devices.

    They write these to the file descriptor itself, before any log level applies.
    Exceptions still come through.
    """
    with open(os.devnull, "w") as nothing:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            for name in ("keras", "tensorflow"):
                importlib.import_module(name)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def backend(function: Callable) -> Callable:
    """Adds `--backend`, which takes effect before Keras is imported."""
    return click.option(
        "--backend",
        type=click.Choice(["tensorflow", "jax"]),
        callback=_set_backend,
        is_eager=True,
        expose_value=False,
        help="Keras backend. [default: KERAS_BACKEND, else tensorflow]",
    )(function)


def out(default: str | None) -> Callable:
    """Returns a decorator that adds `--out`, a folder or file to write."""
    return click.option(
        "--out",
        type=click.Path(path_type=pathlib.Path),
        default=default,
        show_default=default is not None,
        help="Where to write.",
    )


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
settings = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any recipe field."
)
resume = click.option(
    "--resume", is_flag=True, help="Go on where a killed run stopped."
)


def _set_precision(
    context: click.Context, parameter: click.Parameter, value: str | None
):
    if value:
        import keras

        keras.config.set_dtype_policy(value)
    return value


precision = click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    callback=_set_precision,
    expose_value=False,
    help="Arithmetic of the layers. [default: float32]",
)
