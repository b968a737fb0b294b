"""Private names of other packages that ours uses or overrides: all, and no others.

Such a name may go or change in any release, so setup.cfg bounds these packages from
above. Raise a bound when this test and the rest pass with the new release.
"""

import ast
import importlib
import inspect
import pathlib
import pkgutil

import h5py
import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

import kphotoz
import kphotoz_cli
import kphotoz_datasets

PACKAGES = (kphotoz, kphotoz_cli, kphotoz_datasets)
# Base class -> its private methods that a class of ours overrides, with the reason.
OVERRIDDEN = {
    keras.optimizers.Optimizer: {
        "_apply_weight_decay": "one rate for all weights",
        "_clip_by_norm": "three operations in place of seven",
        "_update_model_variables_moving_average": "starts from the first step",
    },
    tfds.core.GeneratorBasedBuilder: {
        "_info": "TFDS' documented interface",
        "_split_generators": "TFDS' documented interface",
        "_generate_examples": "TFDS' documented interface",
        "_generate_splits": "splits are written while they are read",
        "_download_and_prepare": "simulates by several processes",
    },
}


def layer():
    made = keras.layers.Dense(3)
    made.build((None, 2))
    return made


def optimizer():
    made = keras.optimizers.AdamW(use_ema=True)
    made.build(layer().trainable_variables)
    return made


if keras.config.backend() == "tensorflow":  # its optimizers alone gather
    OVERRIDDEN[keras.optimizers.Optimizer]["_all_reduce_sum_gradients"] = (
        "gathered before the averages move"
    )


# What has private attributes that ours reads or calls, and their names.
USED = {
    layer: {
        "_tracker": "frozen weights must stay frozen when `trainable` is set",
        "_track_variable": "as above",
        "_untrack_variable": "as above",
        "_trainable_variables": "as above",
        "_non_trainable_variables": "as above",
        "_flatten_layers": "sublayers in lists and dicts, which no public name gives",
        "_get_own_losses": "losses of a kernel that is not a variable",
    },
    optimizer: {
        "_model_variables_moving_average": "averages to evaluate and to write",
        "_get_variable_index": "as above",
        "_momentums": "one operation for a weight and its moments",
        "_velocities": "as above",
        "_use_weight_decay": "one rate for all weights",
    },
    lambda: keras.Input((2,)): {"_keras_history": "which layer made a tensor"},
    lambda: tfds.core.GeneratorBasedBuilder: {
        "_get_filename_template": "shards are written as they come",
        "_example_writer": "as above",
    },
}
# Set by h5py in the instance: the encoding that names are read with.
INSIDE_H5PY = {"_e"}
PYTHON = {"_exit"}  # os._exit, which Python documents
OF_CLASSES = {"_abc_impl", "_is_protocol"}  # what Python puts into classes


def modules():
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("_test"):
                yield importlib.import_module(module.name)


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in OF_CLASSES


def is_ours(kind):
    return kind.__module__.split(".")[0] in {package.__name__ for package in PACKAGES}


def test_overridden_methods_are_those_listed():
    seen = {}
    for module in modules():
        for _, kind in inspect.getmembers(module, inspect.isclass):
            foreign = [base for base in kind.__mro__ if not is_ours(base)]
            for base in kind.__mro__ if is_ours(kind) else ():
                for name in vars(base) if is_ours(base) and foreign else ():
                    if is_private(name) and any(name in vars(x) for x in foreign):
                        seen[name] = f"{base.__module__}.{base.__qualname__}"
    listed = {name for names in OVERRIDDEN.values() for name in names}
    assert set(seen) == listed, seen


@pytest.mark.parametrize(
    ("base", "name"), [(base, name) for base in OVERRIDDEN for name in OVERRIDDEN[base]]
)
def test_an_overridden_method_is_still_called_by_its_package(base, name):
    assert callable(getattr(base, name, None)), f"{base} has no {name} any more"
    name_of_package = base.__module__.split(".")[0]
    package = pathlib.Path(importlib.import_module(name_of_package).__path__[0])
    calls = [path for path in package.rglob("*.py") if f".{name}(" in path.read_text()]
    assert calls, f"nothing in {package} calls {name} any more"


@pytest.mark.parametrize(
    ("make", "name"), [(make, name) for make in USED for name in USED[make]]
)
def test_a_used_attribute_is_still_there(make, name):
    assert hasattr(make(), name), f"{make()} has no {name} any more"


def test_the_encoding_of_names_is_still_with_attributes_of_h5py():
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        file.attrs["name"] = np.int64(1)
        assert all(hasattr(file.attrs, name) for name in INSIDE_H5PY)


def test_used_attributes_are_those_listed():
    own, used = set(), {}
    for package in PACKAGES:
        for path in pathlib.Path(package.__path__[0]).rglob("*.py"):
            if not path.name.endswith("_test.py"):
                collect(ast.parse(path.read_text()), path, own, used)
    foreign = {name: where for name, where in used.items() if name not in own}
    listed = {name for names in USED.values() for name in names}
    assert set(foreign) == listed | INSIDE_H5PY | PYTHON, foreign


def collect(tree, path, own, used):
    """Adds the names that a module defines, and the private ones that it reads."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if is_private(name):
                used[name] = f"{path}:{node.lineno}"
            case ast.Call(func=ast.Attribute(attr="update"), keywords=keywords):
                own |= {word.arg for word in keywords if word.arg}  # vars(self).update
            case ast.Attribute(attr=name) if is_private(name):
                used[name] = f"{path}:{node.lineno}"
