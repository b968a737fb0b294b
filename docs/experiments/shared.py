"""What the two published experiments on conjugate kernels have in common."""

import argparse
import json
import os
import pathlib
import statistics

import numpy as np


def prepare() -> None:
    """Has Keras compute in float64, as the paper does; must come before its import."""
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    from kphotoz import backend

    backend.silence()
    import keras

    keras.config.set_floatx("float64")


def network(inputs: int, depth: int, width: int, activation: str, last: dict, seed):
    """Returns a multilayer perceptron of `depth` Dense layers, the last named "last".

    Args:
        inputs: int. Columns of the inputs.
        depth: int. Dense layers, the last one among them.
        width: int. Units of each but the last.
        activation: str. Of each but the last.
        last: dict. Arguments of the last layer.
        seed: int.
    """
    import keras

    keras.utils.set_random_seed(seed)
    x = start = keras.Input((inputs,))
    for index in range(1, depth):
        x = keras.layers.Dense(width, activation, name=f"hidden_{index}")(x)
    return keras.Model(start, keras.layers.Dense(**last, name="last")(x))


def arguments(text: str, seeds: int) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=seeds, help=f"networks [default: {seeds}]"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small networks, a twentieth of the epochs"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, help="folder for the plot, which needs matplotlib"
    )
    return parser.parse_args()


def summary(values: list[float]) -> dict:
    """Returns median, smallest and largest."""
    return {
        "median": float(f"{statistics.median(values):.4g}"),
        "range": [float(f"{edge:.4g}") for edge in (min(values), max(values))],
    }


def finish(found: dict, options: argparse.Namespace) -> None:
    """Prints the last line, JSON."""
    import keras

    versions = {"keras": keras.__version__, "backend": keras.backend.backend()}
    rest = {"seeds": options.seeds, "quick": options.quick} | versions
    print(json.dumps(found | rest))


def plot(
    curves: dict[str, dict[str, np.ndarray]],
    epochs: np.ndarray,
    label: str,
    path: pathlib.Path,
) -> None:
    """Writes a plot: a panel for each of `curves`, a line for each seed.

    Args:
        curves: {panel: {method: float array (seeds, stages), NaN where it ended}}.
        epochs: int array (stages,).
        label: str. Of the vertical axis.
        path: file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(
        1, len(curves), figsize=(5 * len(curves), 4), squeeze=False, sharey=True
    )
    for axis, (panel, methods) in zip(axes[0], curves.items(), strict=True):
        for index, (method, lines) in enumerate(methods.items()):
            for number, line in enumerate(lines):
                name = method if number == 0 else None
                axis.plot(epochs, line, color=f"C{index}", alpha=0.6, label=name)
        axis.set(title=panel, xlabel="epochs", yscale="log")
        axis.legend()
    axes[0, 0].set_ylabel(label)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
