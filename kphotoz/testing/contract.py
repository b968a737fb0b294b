"""What adapters promise, checked on a model or layer of your own.

Needs no test framework: call it in a test of any.
"""

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kphotoz import adapters
from kphotoz.errors import InputError
from kphotoz.testing import _clauses
from kphotoz.testing._clauses import check, clause
from kphotoz.testing.contract_report import ContractReport

__all__ = ["run_adapter_contract"]


def run_adapter_contract(
    make: Callable[[], keras.Layer],
    inputs: Any,
    *,
    labels: Any = None,
    loss: Any = "mse",
    tolerance: float = 1e-5,
    custom_objects: dict | None = None,
    jit_compile: bool | None = None,
    run_eagerly: bool = False,
    **options: Any,
) -> ContractReport:
    """Checks that a model or layer can be adapted, trained, saved, loaded and merged.

    | clause | what must hold |
    |---|---|
    | build | the model is made, called, and gives finite outputs twice equal |
    | adapt | `adapters.apply` finds layers and leaves the base as it is |
    | identity | the adapted model's outputs are the base's, bit for bit |
    | train | after two steps every factor has moved and nothing frozen has |
    | reload | a .keras file gives the same weights and outputs, and trains on |
    | file | an adapter file gives the same outputs on the base |
    | toggle | setting `trainable` to False and True, of the model or of any layer below it, changes nothing of what trains; also after a reload and in a clone |
    | merge | the merged model has no adapters and the same outputs |
    | fold | `adapters.fold` of the merged model gives the same outputs or refuses it |
    | quantize | a base that Keras quantized to int8 is adapted with its very outputs, or refused |

    Args:
        make: function of no arguments that returns a new model, or a layer of one call
            argument, which is put into a Functional model. It may draw new weights
            every time.
        inputs: numpy array or structure of arrays, batch first, at least two rows.
        labels: what the model is trained towards; an array or a structure like its
            outputs. [default: normal noise of a fixed seed]
        loss: as in `keras.Model.compile`, the same for every output. [default: "mse"]
        tolerance: float. Largest difference of outputs after a reload, a merge or a
            fold, over the largest output or 1, whichever is greater. [default: 1e-5]
        custom_objects: passed to `keras.models.load_model`, for classes that are not
            registered.
        jit_compile: as in `keras.Model.compile`. [default: on JAX only, because XLA
            takes long for deep networks]
        run_eagerly: bool. Compile the steps of `train` only, and run those of later
            clauses as they are: faster for deep networks. [default: False]
        **options: arguments of `adapters.apply`. [default: rank=2, alpha=3.0]

    Returns:
        what was adapted, folded and quantized.

    Raises:
        AssertionError: the first clause that does not hold, and what was seen.
    """  # noqa: E501 - a row of a table is one line
    run = _Run(inputs, labels, loss, tolerance, custom_objects or {})
    run.jit = keras.backend.backend() == "jax" if jit_compile is None else jit_compile
    options = {"rank": 2, "alpha": 3.0} | options
    with tempfile.TemporaryDirectory() as folder:
        base, outputs = run.build(make)
        model = run.adapt(base, outputs, options)
        run.train(model)
        run.eager = run_eagerly
        run.toggle("reloaded", run.reload(model, pathlib.Path(folder) / "model.keras"))
        again = run.file(base, model, pathlib.Path(folder) / "adapter.safetensors")
    run.toggle("loaded from its file", again)
    run.toggle("cloned", run.clone(model))
    fold = run.fold(run.merge(model))
    return ContractReport(
        kind=type(model).__name__,
        adapted=tuple(x["path"] for x in adapters.report(model) if x["rank"]),
        skipped=_clauses.skipped(base, options),
        trainable=_clauses.size(model.trainable_variables),
        parameters=_clauses.size(base.weights),
        fold=fold,
        quantized=run.quantize(make, base, options),
    )


class _Run:
    """The clauses, in order, and what they share."""

    jit = eager = False

    def __init__(
        self,
        inputs: Any,
        labels: Any,
        loss: Any,
        tolerance: float,
        custom_objects: dict[str, Any] | None,
    ) -> None:
        self.inputs = keras.tree.map_structure(np.asarray, inputs)
        self.labels, self.loss, self.tolerance = labels, loss, tolerance
        self.custom_objects = custom_objects

    def build(self, make: Callable) -> tuple[keras.Model, Any]:
        base, outputs = self.make("build", make)
        flat = keras.tree.flatten(outputs)
        check("build", all(np.isfinite(x).all() for x in flat), "outputs not finite")
        gap = _clauses.gap(outputs, self.call(base))
        check("build", gap == 0, f"two equal calls differ by {gap:.2g}")
        if self.labels is None:
            rng = np.random.default_rng(0)
            self.labels = keras.tree.map_structure(
                lambda x: rng.normal(size=x.shape).astype("float32"), outputs
            )
        return base, outputs

    def adapt(
        self, base: keras.Model, outputs: Any, options: dict[str, Any]
    ) -> keras.Model:
        before = adapters.snapshot(base)
        with clause("adapt"):
            model = adapters.apply(base, **options)
        changed = [k for k, v in adapters.snapshot(base).items() if v != before[k]]
        check("adapt", not changed, f"the base changed, first {changed[:1]}")
        gap = _clauses.gap(outputs, self.call(model))
        check(
            "identity",
            gap == 0,
            f"outputs differ by {gap:.2g} before any training. Does get_config hold "
            f"every argument of {type(base).__name__} and of its layers?",
        )
        return model

    def train(self, model: keras.Model) -> None:
        before = adapters.snapshot(model)
        self._steps("train", model, 2)
        self._moved("train", before, model)

    def reload(self, model: keras.Model, path: pathlib.Path) -> keras.Model:
        with clause("reload"):
            model.save(path)
            again = keras.models.load_model(path, self.custom_objects, compile=False)
        factors, reloaded = _clauses.factors(model), _clauses.factors(again)
        check("reload", len(factors) == len(reloaded), "factors are lost")
        for (name, old), (_, new) in zip(factors, reloaded, strict=True):
            check("reload", np.array_equal(old, new), f"{name} is another one")
        self._equal("reload", model, again)
        before = adapters.snapshot(again)
        self._steps("reload", again, 1)
        self._moved("reload", before, again)
        return again

    def file(
        self, base: keras.Model, model: keras.Model, path: pathlib.Path
    ) -> keras.Model:
        with clause("file"):
            adapters.save(model, path)
            again = adapters.load(base, path)
        self._equal("file", model, again)
        return again

    def clone(self, model: keras.Model) -> keras.Model:
        custom = keras.saving.custom_object_scope(self.custom_objects)
        with clause("toggle"), custom:
            clone = keras.models.clone_model(model)
            # Factors at their start could not all move in one step.
            _clauses.copy_weights(model, clone)
        self._equal("toggle", model, clone)
        one, other = (len(x.trainable_variables) for x in (model, clone))
        message = f"the clone trains {other} variables, the model {one}"
        check("toggle", one == other, message)
        return clone

    def toggle(self, which: str, model: keras.Model) -> None:
        wanted = {id(v): v.path for v in model.trainable_variables}
        layers = list(model._flatten_layers(include_self=False))
        for layer in [model, *layers]:
            with clause("toggle"):
                _clauses.toggle(layer)
            trains = {id(v): v.path for v in model.trainable_variables}
            if trains.keys() != wanted.keys():
                both = {**wanted, **trains}
                odd = [both[x] for x in both if (x in wanted) != (x in trains)]
                message = (
                    f"the model {which}, of which {layer.name!r} was set to False and "
                    f"True, no longer trains the same: {', '.join(odd[:3])}"
                )
                check("toggle", False, message)
        before = adapters.snapshot(model)
        self._steps("toggle", model, 1)
        self._moved("toggle", before, model)

    def merge(self, model: keras.Model) -> keras.Model:
        with clause("merge"):
            merged = adapters.merge(model)
        left = [v.path for v in merged.variables if v.name.startswith("lora_")]
        check("merge", not left, f"factors are left, first {left[:1]}")
        self._equal("merge", model, merged)
        return merged

    def fold(self, merged: keras.Model) -> str:
        with clause("fold"):
            try:
                folded = adapters.fold(merged)
            except InputError as error:
                return f"refused: {error}"
        self._equal("fold", merged, folded)
        return "folded"

    def quantize(
        self, make: Callable, base: keras.Model, options: dict[str, Any]
    ) -> str:
        copy, _ = self.make("quantize", make)
        with clause("quantize"):
            _clauses.copy_weights(base, copy)
        left = _clauses.quantize(copy)
        if left:
            return f"not quantized: {left}"
        with clause("quantize"):
            try:
                model = adapters.apply(copy, **options)
            except InputError as error:
                return f"refused: {error}"
        try:
            wanted = self.call(copy)
        except AssertionError as error:
            return f"not quantized: Keras cannot call it, {error}"
        gap = _clauses.gap(wanted, self.call(model))
        message = (
            f"the adapted model's outputs differ from the quantized ones by {gap:.2g}"
        )
        check("quantize", gap == 0, message)
        return "kept"

    def make(self, name: str, make: Callable) -> tuple[keras.Model, Any]:
        with clause(name):
            base = make()
            if not isinstance(base, keras.Model):
                base = _clauses.around(base, self.inputs)
            return base, self.call(base)

    def call(self, model: keras.Model) -> Any:
        with clause("call"):
            outputs = model(self.inputs, training=False)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    def _steps(self, name: str, model: keras.Model, steps: int) -> None:
        # Adam's steps are of one size, so that a small gradient is not rounded away:
        # with an epsilon below it, for at a deep network's start it can be 1e-12.
        losses = keras.tree.map_structure(lambda _: self.loss, self.labels)
        with clause(name):
            optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-20)
            how = {"jit_compile": self.jit and not self.eager}
            model.compile(optimizer, losses, run_eagerly=self.eager, **how)
            for _ in range(steps):
                model.train_on_batch(self.inputs, self.labels)

    def _moved(self, name: str, before: dict, model: keras.Model) -> None:
        frozen = adapters.frozen_changed(before, model)
        check(name, not frozen, f"frozen weights changed: {', '.join(frozen[:3])}")
        still = adapters.unmoved_factors(before, model)
        check(
            name,
            not still,
            f"factors did not move: {', '.join(still[:3])}. Does call use these "
            "kernels, and does a gradient reach them?",
        )

    def _equal(self, name: str, model: keras.Model, other: keras.Model) -> None:
        wanted = self.call(model)
        largest = max(np.abs(x).max(initial=0) for x in keras.tree.flatten(wanted))
        gap = _clauses.gap(wanted, self.call(other))
        limit = self.tolerance * max(1, largest)
        check(name, gap <= limit, f"outputs differ by {gap:.2g}, over {limit:.2g}")
