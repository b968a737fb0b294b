"""What adapters promise, checked on a model or layer of your own.

Needs no test framework: call it in a test of any.
"""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kphotoz import adapters

__all__ = ["run_adapter_contract"]


def run_adapter_contract(
    make: Callable[[], keras.Layer],
    inputs: Any,
    *,
    labels: Any = None,
    loss: Any = "mse",
    tolerance: float = 1e-5,
    custom_objects: dict | None = None,
    **options: Any,
) -> None:
    """Checks that a model or layer can be adapted, trained, saved, loaded and merged.

    | clause | what must hold |
    |---|---|
    | build | the model is made, called, and gives finite outputs twice equal |
    | adapt | `adapters.apply` finds layers and leaves the base as it is |
    | identity | the adapted model's outputs are the base's, bit for bit |
    | train | after two steps every factor has moved and nothing frozen has |
    | reload | a .keras file gives the same weights and outputs, and trains on |
    | file | an adapter file gives the same outputs on a base made by `make` |
    | freeze | no adapted kernel moves when `trainable` was set to False and True |
    | merge | the merged model has no adapters and the same outputs |

    Args:
        make: function of no arguments that returns a new model, or a layer of one call
            argument, which is put into a Functional model. It may draw new weights
            every time.
        inputs: numpy array or structure of arrays, batch first, at least two rows.
        labels: what the model is trained towards; an array or a structure like its
            outputs. [default: normal noise of a fixed seed]
        loss: as in `keras.Model.compile`, the same for every output. [default: "mse"]
        tolerance: float. Largest difference of outputs after a reload or a merge, over
            the largest output or 1, whichever is greater. [default: 1e-5]
        custom_objects: passed to `keras.models.load_model`, for classes that are not
            registered.
        **options: arguments of `adapters.apply`. [default: rank=2, alpha=3.0]

    Raises:
        AssertionError: the first clause that does not hold, and what was seen.
    """
    run = _Run(inputs, labels, loss, tolerance, custom_objects or {})
    options = {"rank": 2, "alpha": 3.0} | options
    with tempfile.TemporaryDirectory() as folder:
        base, outputs = run.build(make)
        model = run.adapt(base, outputs, options)
        run.train(model)
        run.reload(model, pathlib.Path(folder) / "model.keras")
        again = run.file(base, model, pathlib.Path(folder) / "adapter.safetensors")
        run.freeze(again)
        run.merge(model)


class _Run:
    """The clauses, in order, and what they share."""

    def __init__(self, inputs, labels, loss, tolerance, custom_objects) -> None:
        self.inputs = keras.tree.map_structure(np.asarray, inputs)
        self.labels, self.loss, self.tolerance = labels, loss, tolerance
        self.custom_objects = custom_objects

    def build(self, make) -> tuple[keras.Model, Any]:
        with _clause("build"):
            base = make()
            if not isinstance(base, keras.Model):
                base = self._around(base)
            outputs = self.call(base)
        flat = keras.tree.flatten(outputs)
        _check("build", all(np.isfinite(x).all() for x in flat), "outputs not finite")
        gap = _gap(outputs, self.call(base))
        _check("build", gap == 0, f"two equal calls differ by {gap:.2g}")
        if self.labels is None:
            rng = np.random.default_rng(0)
            self.labels = keras.tree.map_structure(
                lambda x: rng.normal(size=x.shape).astype("float32"), outputs
            )
        return base, outputs

    def adapt(self, base, outputs, options) -> keras.Model:
        before = adapters.snapshot(base)
        with _clause("adapt"):
            model = adapters.apply(base, **options)
        changed = [k for k, v in adapters.snapshot(base).items() if v != before[k]]
        _check("adapt", not changed, f"the base changed, first {changed[:1]}")
        gap = _gap(outputs, self.call(model))
        _check(
            "identity",
            gap == 0,
            f"outputs differ by {gap:.2g} before any training. Does get_config hold "
            f"every argument of {type(base).__name__} and of its layers?",
        )
        return model

    def train(self, model) -> None:
        before = adapters.snapshot(model)
        self._steps("train", model, 2)
        self._moved("train", before, model)

    def freeze(self, model) -> None:
        # Keras thaws the layers without an adapter: this model is not used again.
        model.trainable = False
        model.trainable = True
        before = adapters.snapshot(model)
        self._steps("freeze", model, 1)
        self._moved("freeze", before, model)

    def reload(self, model, path) -> None:
        with _clause("reload"):
            model.save(path)
            again = keras.models.load_model(path, self.custom_objects, compile=False)
        factors, found = _factors(model), _factors(again)
        _check("reload", len(factors) == len(found), "factors are lost")
        for (name, old), (_, new) in zip(factors, found, strict=True):
            _check("reload", np.array_equal(old, new), f"{name} is another one")
        self._equal("reload", model, again)
        before = adapters.snapshot(again)
        self._steps("reload", again, 1)
        self._moved("reload", before, again)

    def file(self, base, model, path) -> keras.Model:
        with _clause("file"):
            adapters.save(model, path)
            again = adapters.load(base, path)
        self._equal("file", model, again)
        return again

    def merge(self, model) -> None:
        with _clause("merge"):
            merged = adapters.merge(model)
        left = [v.path for v in merged.variables if v.name.startswith("lora_")]
        _check("merge", not left, f"factors are left, first {left[:1]}")
        self._equal("merge", model, merged)

    def call(self, model):
        with _clause("call"):
            outputs = model(self.inputs, training=False)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    def _around(self, layer: keras.Layer) -> keras.Model:
        def start(x, name=None):
            return keras.Input(x.shape[1:], dtype=x.dtype, name=name)

        inputs = keras.tree.map_structure(start, self.inputs)
        if isinstance(inputs, dict):
            # Keras wants the keys as names.
            inputs = {name: start(x, name) for name, x in self.inputs.items()}
        return keras.Model(inputs, layer(inputs))

    def _steps(self, clause: str, model: keras.Model, steps: int) -> None:
        # Adam's steps are of one size, so that a small gradient is not rounded away.
        losses = keras.tree.map_structure(lambda _: self.loss, self.labels)
        with _clause(clause):
            model.compile(keras.optimizers.Adam(1e-3), losses)
            for _ in range(steps):
                model.train_on_batch(self.inputs, self.labels)

    def _moved(self, clause: str, before: dict, model: keras.Model) -> None:
        frozen = adapters.frozen_changed(before, model)
        _check(clause, not frozen, f"frozen weights changed: {', '.join(frozen[:3])}")
        still = adapters.unmoved_factors(before, model)
        _check(
            clause,
            not still,
            f"factors did not move: {', '.join(still[:3])}. Does call use these "
            "kernels, and does a gradient reach them?",
        )

    def _equal(self, clause: str, model: keras.Model, other: keras.Model) -> None:
        wanted = self.call(model)
        largest = max(np.abs(x).max() for x in keras.tree.flatten(wanted))
        gap, limit = _gap(wanted, self.call(other)), self.tolerance * max(1, largest)
        _check(clause, gap <= limit, f"outputs differ by {gap:.2g}, over {limit:.2g}")


def _factors(model: keras.Model) -> list[tuple[str, np.ndarray]]:
    return [
        (v.path, keras.ops.convert_to_numpy(v))
        for v in model.variables
        if v.name.startswith("lora_")
    ]


def _gap(one: Any, other: Any) -> float:
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return max(float(np.abs(np.subtract(x, y)).max()) for x, y in pairs)


def _check(clause: str, holds: bool, seen: str) -> None:
    if not holds:
        raise AssertionError(f"Adapter contract, {clause}: {seen}")


@contextlib.contextmanager
def _clause(name: str) -> Iterator[None]:
    """Tells of any error that it broke this clause."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        kind = type(error).__name__
        raise AssertionError(f"Adapter contract, {name}: {kind}: {text}") from error
