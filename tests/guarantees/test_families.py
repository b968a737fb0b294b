"""The adapter contract on models of every family of keras.applications and keras_hub.

The models are those of the table in docs/lora.md, from benchmarks/families.
"""

import dataclasses
import pathlib
import sys

import keras
import keras_hub
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))

from families import CASES, LEFT_OUT, check  # noqa: E402 - found by the line above
from families.table import smallest  # noqa: E402

# Keras and keras-hub warn of bands and shapes that are no fault of an adapter.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def thin(case):
    """Returns the first blocks of MobileNet with a quarter of its channels."""

    def make():
        whole = keras.applications.MobileNet((32, 32, 5), alpha=0.25, weights=None)
        return keras.Model(whole.input, whole.get_layer("conv_pw_2_relu").output)

    return dataclasses.replace(case, make=make)


def first_block(case):
    """Returns the first block of ConvNeXt-Tiny."""

    def make():
        whole = case.make()
        last = whole.get_layer("convnext_tiny_stage_0_block_0_identity")
        return keras.Model(whole.input, last.output)

    return dataclasses.replace(case, make=make)


def one_layer(case):
    """Returns a backbone of keras_hub with one layer."""

    def make():
        whole = case.make()
        return type(whole).from_config(whole.get_config() | {"num_layers": 1})

    return dataclasses.replace(case, make=make)


SAMPLE = {
    "MobileNet": thin(CASES["MobileNet"]),
    "ConvNeXtTiny": first_block(CASES["ConvNeXtTiny"]),
    "CSPNet": CASES["CSPNetBackbone"],
    **{name: one_layer(CASES[f"{name}Backbone"]) for name in ("Bert", "Llama", "ViT")},
}
ON_JAX = keras.backend.backend() == "jax"
REST = [
    name for name in (smallest(CASES) if ON_JAX else CASES) if name != "CSPNetBackbone"
]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_families_keeps_the_contract(name):
    assert check(SAMPLE[name]).adapted


@pytest.mark.large
@pytest.mark.parametrize("name", REST)
def test_every_family_keeps_the_contract(name):
    assert check(CASES[name]).adapted


def test_every_model_of_keras_and_keras_hub_has_a_case_or_a_reason():
    models = [
        name
        for name in dir(keras.applications)
        if callable(getattr(keras.applications, name))
    ]
    models += [name for name in dir(keras_hub.models) if name.endswith("Backbone")]
    assert sorted(models) == sorted([*CASES, *LEFT_OUT])
