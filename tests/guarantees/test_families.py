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
    """Returns MobileNet with a quarter of its channels."""
    arguments = {"input_shape": (32, 32, 5), "weights": None, "classes": 3}
    arguments |= {"classifier_activation": None, "alpha": 0.25}
    return dataclasses.replace(
        case, make=lambda: keras.applications.MobileNet(**arguments)
    )


def first_stage(case):
    """Returns the first stage of ConvNeXt-Tiny."""

    def make():
        whole = case.make()
        last = whole.get_layer("convnext_tiny_stage_0_block_2_identity")
        return keras.Model(whole.input, last.output)

    return dataclasses.replace(case, make=make)


SAMPLE = {
    "MobileNet": thin(CASES["MobileNet"]),
    "ConvNeXtTiny": first_stage(CASES["ConvNeXtTiny"]),
} | {name: CASES[f"{name}Backbone"] for name in ("Bert", "CSPNet", "Llama", "ViT")}
ON_JAX = keras.backend.backend() == "jax"
REST = [
    name
    for name in (smallest(CASES) if ON_JAX else CASES)
    if CASES[name] not in SAMPLE.values()
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
