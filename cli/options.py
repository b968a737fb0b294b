"""Options that mean the same in every command."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import click

from kphotoz.backend import cores, import_quietly, prepare_workers, share_memory
from kphotoz.errors import unknown

_BACKENDS = ("tensorflow", "jax")


def _set_backend(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    # Keras reads this once, when first imported, which no command does at its top.
    value = value or os.environ.get("KERAS_BACKEND")
    if value and value not in _BACKENDS:
        raise unknown("backend (KERAS_BACKEND)", value, _BACKENDS)
    if value:
        os.environ["KERAS_BACKEND"] = value
    if any(other.name == "jobs" for other in context.command.params):
        _prepare_jobs()
    import_quietly()
    return value


def _prepare_jobs() -> None:
    share_memory()
    if cores() > 1 and os.environ.get("KPHOTOZ_JOBS") != "1":
        prepare_workers()  # their imports and those of this process run together


def backend(function: Callable) -> Callable:
    """Adds `--backend`, which takes effect before Keras is imported."""
    return click.option(
        "--backend",
        type=click.Choice(_BACKENDS),
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


_DISTRIBUTION = f"{__name__}.distribution"


def _note(
    context: click.Context, parameter: click.Parameter, value: str | int | None
) -> None:
    context.meta.setdefault(_DISTRIBUTION, {})[parameter.name] = value


def distribution(function: Callable) -> Callable:
    """Adds `--devices` and the options of several processes, beside `device`.

    They take effect before anything asks for the devices, which `--precision` does.
    """
    common: dict[str, Any] = {
        "callback": _note,
        "is_eager": True,
        "expose_value": False,
    }
    decorators = (
        click.option(
            "--devices",
            default="1",
            show_default=True,
            metavar="N|all",
            envvar="KPHOTOZ_DEVICES",
            help="Devices that share each batch, of each process.",
            **common,
        ),
        click.option(
            "--processes",
            metavar="N|slurm",
            envvar="KERAS_DISTRIBUTION_NUM_PROCESSES",
            help="Processes that train together (JAX); slurm: as srun started them.",
            **common,
        ),
        click.option(
            "--process",
            type=click.IntRange(min=0),
            envvar="KERAS_DISTRIBUTION_PROCESS_ID",
            help="Which of them this is, from 0.",
            **common,
        ),
        click.option(
            "--coordinator",
            metavar="HOST:PORT",
            envvar="KERAS_DISTRIBUTION_JOB_ADDRESSES",
            help="Where process 0 listens for the others.",
            **common,
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def _distribute(context: click.Context) -> None:
    from kphotoz.backend import distribute, find_cluster

    chosen = context.meta.get(_DISTRIBUTION)
    if chosen is not None:
        names = ("processes", "process", "coordinator")
        cluster = find_cluster(*(chosen[name] for name in names))
        context.with_resource(distribute(chosen["devices"], cluster))


def _set_precision(
    context: click.Context, parameter: click.Parameter, value: str
) -> None:
    from kphotoz.backend import use_precision

    _distribute(context)
    if value != "auto":
        os.environ["KPHOTOZ_PRECISION"] = value
    use_precision()


def _set_jit(
    context: click.Context, parameter: click.Parameter, value: bool | None
) -> None:
    if value is not None:
        os.environ["KPHOTOZ_JIT"] = str(int(value))


def _set_threads(
    context: click.Context, parameter: click.Parameter, value: int | None
) -> None:
    from kphotoz.backend import cores, use_threads

    if value is not None or "TF_NUM_INTRAOP_THREADS" not in os.environ:
        use_threads(value or cores())


def device(function: Callable) -> Callable:
    """Adds `--precision`, `--jit` and `--threads`, chosen for the device by default."""
    decorators = (
        click.option(
            "--precision",
            type=click.Choice(["auto", "float32", "mixed_bfloat16"]),
            default="auto",
            callback=_set_precision,
            expose_value=False,
            help="Arithmetic of new models. [default: mixed_bfloat16 where it is fast]",
        ),
        click.option(
            "--jit/--no-jit",
            default=None,
            callback=_set_jit,
            expose_value=False,
            help="Compile by XLA. [default: where it is faster]",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            callback=_set_threads,
            is_eager=True,  # before a backend begins to compute
            expose_value=False,
            help="Threads to compute with. [default: the cores it may use]",
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function
