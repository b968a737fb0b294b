import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError
from kphotoz.testing import run_adapter_contract

INPUTS = np.random.default_rng(0).normal(size=(4, 6, 5, 3)).astype("float32")


def functional():
    image = keras.Input((6, 5, 3))
    x = keras.layers.Conv2D(6, 3, name="stem")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.ops.silu(x))
    x = keras.layers.Dropout(0.2)(x)
    outputs = {
        name: keras.layers.Dense(size, name=name)(x)
        for name, size in (("redshift", 5), ("kind", 4))
    }
    return keras.Model(image, outputs)


def sequential():
    layers = [keras.layers.Conv2D(6, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((6, 5, 3)), *layers])


@keras.saving.register_keras_serializable("kphotoz_contract")
class Whole(keras.Model):
    """A subclassed model that keeps the contract; others break it one by one."""

    def __init__(self, filters=6, power=1.0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.power = filters, power
        self.conv = keras.layers.Conv2D(filters, 3, name="conv")
        self.pool = keras.layers.GlobalAveragePooling2D(name="pool")
        self.head = keras.layers.Dense(4, name="head")

    def call(self, x):
        return self.power * self.head(self.pool(keras.ops.tanh(self.conv(x))))

    def get_config(self):
        own = {"filters": self.filters, "power": self.power}
        return super().get_config() | own


@keras.saving.register_keras_serializable("kphotoz_contract")
class IgnoresItsKernel(Whole):
    def call(self, x):
        self.conv(x)
        return super().call(keras.ops.stop_gradient(x)) * 0.0


@keras.saving.register_keras_serializable("kphotoz_contract")
class ForgetsALayer(Whole):
    def __init__(self, deeper=False, **kwargs):
        super().__init__(**kwargs)
        self.extra = keras.layers.Dense(4, name="extra") if deeper else None

    def call(self, x):
        x = super().call(x)
        return x if self.extra is None else self.extra(x)


@keras.saving.register_keras_serializable("kphotoz_contract")
class ForgetsAnArgument(Whole):
    def get_config(self):
        config = super().get_config()
        del config["power"]
        return config


@keras.saving.register_keras_serializable("kphotoz_contract")
class TrainsAtInference(Whole):
    def call(self, x):
        return super().call(x) + keras.random.normal((1, 4))


@keras.saving.register_keras_serializable("kphotoz_contract")
class WritesItsKernel(Whole):
    def call(self, x, training=None):
        if training:
            self.head.kernel.assign(keras.ops.multiply(self.head.kernel, 0.9))
        return super().call(x)


@keras.saving.register_keras_serializable("kphotoz_contract")
class StaysFrozen(keras.layers.Dense):
    """A layer that does not train again once `trainable` was set to False."""

    @property
    def trainable(self):
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        if not value:
            keras.layers.Dense.trainable.fset(self, False)


class Unregistered(Whole):
    pass


@keras.saving.register_keras_serializable("kphotoz_contract")
class Block(keras.Layer):
    """A layer of layers, of two inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left = keras.layers.Dense(6, name="left")
        self.right = keras.layers.Dense(6, name="right")

    def build(self, shapes):
        self.left.build(shapes["image"])
        self.right.build(shapes["colour"])

    def call(self, inputs):
        return self.left(inputs["image"]) + self.right(inputs["colour"])


def quantized(model):
    return any(x.quantization_mode for x in model._flatten_layers(include_self=False))


@pytest.mark.parametrize("make", [functional, sequential, Whole])
def test_model_that_keeps_the_contract_passes(make):
    run_adapter_contract(make, INPUTS)


def test_report_says_what_was_adapted_and_what_was_not():
    report = run_adapter_contract(sequential, INPUTS)
    assert report.kind == "AdaptedFunctional"
    # By hand: rank 2 on a kernel of (3 * 3 * 3, 6), 168 + 72 * 1 + 1 weights.
    (path,) = report.adapted
    assert path.startswith("conv2d") and report.trainable == 2 * (27 + 6)
    assert report.parameters == 168 + 73
    (reason,) = report.skipped.values()
    assert "146 parameters, the kernel has 72" in reason
    assert report.fold == "folded"


def test_report_says_why_a_model_is_not_folded():
    report = run_adapter_contract(Whole, INPUTS, targets="conv")
    assert report.kind == "AdaptedModel" and report.parameters == 168 + 28
    assert report.fold.startswith("refused: Wanted: a built Functional")


def test_report_says_that_keras_quantizes_no_convolution():
    def make():
        image = keras.Input((6, 5, 3))
        return keras.Model(image, keras.layers.Conv2D(6, 3)(image))

    report = run_adapter_contract(make, INPUTS)
    assert report.quantized == "not quantized: no layer that Keras quantizes"


def test_layer_with_a_structure_of_inputs_passes():
    inputs = {"image": INPUTS[:, 0, 0], "colour": INPUTS[:, 0, :, 0]}
    run_adapter_contract(Block, inputs)


def test_options_and_custom_objects_are_passed_on():
    run_adapter_contract(
        lambda: Unregistered(power=0.5),
        INPUTS,
        custom_objects={"Unregistered": Unregistered},
        targets="conv",
        train_also="head",
        rank=1,
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (IgnoresItsKernel, "train: factors did not move: .*lora"),
        (lambda: ForgetsALayer(deeper=True), "adapt: InputError: .*configuration"),
        (lambda: ForgetsAnArgument(power=2.0), "identity: outputs differ by .*config"),
        (TrainsAtInference, "build: two equal calls differ"),
        (lambda: keras.layers.ReLU(), "adapt: InputError: "),
        (lambda: 1 / 0, "build: ZeroDivisionError"),
    ],
)
def test_first_broken_clause_is_told_in_one_line(make, told):
    with pytest.raises(AssertionError, match=f"Adapter contract, {told}") as caught:
        run_adapter_contract(make, INPUTS)
    assert "\n" not in str(caught.value)


def test_layer_that_writes_to_its_kernel_is_left_out_and_stays_as_it_was():
    run_adapter_contract(WritesItsKernel, INPUTS)


def test_frozen_weight_that_moves_is_found(monkeypatch):
    from kphotoz.adapters.freezing import Freezing

    monkeypatch.setattr(Freezing, "may_move", lambda self, variable: True)
    with pytest.raises(AssertionError, match="train: frozen weights changed: .*kernel"):
        run_adapter_contract(WritesItsKernel, INPUTS)


def test_layer_that_trains_no_more_after_a_toggle_is_found():
    def make():
        layers = [keras.layers.Conv2D(6, 3), keras.layers.Flatten()]
        head = StaysFrozen(3, name="head")
        return keras.Sequential([keras.Input((6, 5, 3)), *layers, head])

    with pytest.raises(AssertionError, match="toggle: .*no longer .*head/kernel"):
        run_adapter_contract(make, INPUTS, train_also="head")


@pytest.mark.parametrize(
    "clause", ["merge", pytest.param("fold", marks=pytest.mark.large)]
)
def test_copy_that_loses_the_update_is_found(monkeypatch, clause):
    monkeypatch.setattr(adapters, clause, lambda model: functional())
    with pytest.raises(AssertionError, match=f"{clause}: outputs differ by"):
        run_adapter_contract(functional, INPUTS, run_eagerly=True)


def test_fold_that_is_refused_is_reported_and_one_that_breaks_is_found(monkeypatch):
    def fold(model):
        raise error

    monkeypatch.setattr(adapters, "fold", fold)
    error = InputError("no graph")
    assert (
        run_adapter_contract(functional, INPUTS, run_eagerly=True).fold
        == "refused: no graph"
    )
    error = KeyError("lost")
    with pytest.raises(AssertionError, match="fold: KeyError: 'lost'"):
        run_adapter_contract(functional, INPUTS, run_eagerly=True)


def test_quantized_base_that_is_exchanged_for_another_is_found(monkeypatch):
    apply = adapters.apply

    def exchange(base, **options):
        return apply(functional() if quantized(base) else base, **options)

    monkeypatch.setattr(adapters, "apply", exchange)
    with pytest.raises(AssertionError, match="quantize: .*differ from the quantized"):
        run_adapter_contract(functional, INPUTS, run_eagerly=True)


@pytest.mark.large
def test_quantized_base_that_is_refused_is_reported(monkeypatch):
    apply = adapters.apply

    def refuse(base, **options):
        if quantized(base):
            raise InputError("a quantized kernel")
        return apply(base, **options)

    monkeypatch.setattr(adapters, "apply", refuse)
    report = run_adapter_contract(functional, INPUTS, run_eagerly=True)
    assert report.quantized == "refused: a quantized kernel"
