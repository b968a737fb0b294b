"""OpenVINO predicts what Keras predicts, and is taken where that pays."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kphotoz import models
from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.prediction import engines, openvino_engine, predict, rows

needs_openvino = pytest.mark.skipif(
    not openvino_engine.installed(), reason="the extra openvino is not installed"
)
BATCH = 70  # three slices of 24 rows: the last is not full


def normalised(model):
    """Gives normalisations of a model statistics that are not the identity."""
    rng = np.random.default_rng(8)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            moved = rng.uniform(0.5, 1.5, shape), *rng.normal(0, 0.1, (2, *shape))
            layer.set_weights([*moved, rng.uniform(0.5, 1.5, shape)])
    return model


def photoz(inputs, architecture, bands, pixel_scale):
    redshifts = np.random.default_rng(1).uniform(0, 1, len(inputs))
    model = models.build_photoz(
        architecture,
        inputs,
        redshifts,
        bands=bands,
        pixel_scale=pixel_scale,
        seed=1,
    )
    return normalised(model)


def images(size=16):
    rng = np.random.default_rng(2)
    return rng.normal(1, 1, (BATCH, size, size, 4)).astype("float32")


def fluxes():
    flux = 10 ** np.random.default_rng(3).normal(1, 0.4, (BATCH, 3))
    inputs = np.stack([flux, 0.1 * flux], axis=-1).astype("float32")
    inputs[3, 1] = np.nan  # a band that was not observed
    return inputs


SMALL = {
    **{"name": "small_cnn", "photometry_units": [8], "filters": [4, 4], "crop": 16},
    **{"image_units": 4, "head_units": [4], "radii": [1.5, 3.0, 6.0]},
}
CASES = {
    "images": (images, SMALL, "griz", 0.2),
    "catalogue": (fluxes, {"name": "catalog_mlp"}, "gri", None),
    "resnet": (lambda: images(32), {"name": "resnet18"}, "griz", 0.2),
}


def chosen(model, wanted, inputs, rows=10**9, precision="float32", batch_size=BATCH):
    return engines.choose(
        model,
        wanted,
        shapes=[inputs.shape[1:]],
        rows=rows,
        batch_size=batch_size,
        precision=precision,
        sample=lambda: inputs,
    )


@needs_openvino
@pytest.mark.parametrize(
    "name",
    [
        "images",
        pytest.param("catalogue", marks=pytest.mark.large),
        pytest.param("resnet", marks=pytest.mark.large),
    ],
)
def test_openvino_predicts_as_the_saved_network(name):
    make, *settings = CASES[name]
    inputs = make()
    model = photoz(inputs, *settings)
    wanted = model.predict_on_batch(inputs)
    engine = chosen(model, "auto", inputs)
    assert engine.identity["name"] == "openvino", engine.why
    found = engine.call(inputs)
    assert np.ptp(wanted) > 1e-4
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(engine.call(inputs), found)


@needs_openvino
@pytest.mark.large
def test_compiled_network_needs_no_framework(tmp_path):
    inputs = keras.Input((5, 2))
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(x))
    model.save(tmp_path / "model.keras")
    openvino_engine.export(tmp_path / "model.keras", (3, 5, 2))
    code = """
import sys, numpy
from kphotoz.prediction import openvino_engine
call = openvino_engine.compiled(sys.argv[1], 3, "float32")
found = call(numpy.arange(40, dtype="float32").reshape(4, 5, 2))
assert found.tolist() == [[45.0], [145.0], [245.0], [345.0]], found
others = {"keras", "tensorflow", "jax", "openvino_telemetry"}
assert not others & set(sys.modules), others & set(sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.large
def test_an_export_runs_nothing_that_lies_in_the_current_folder(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Flatten()])
    model.save(tmp_path / "model.keras")
    folder = tmp_path / "of a stranger"
    (folder / "kphotoz").mkdir(parents=True)
    for name in ("keras.py", "numpy.py", "kphotoz/__init__.py"):
        (folder / name).write_text("open('ran', 'w').close()")
    monkeypatch.chdir(folder)
    exported = openvino_engine.export(tmp_path / "model.keras", (4, 3, 2))
    assert (exported / "saved_model.pb").exists()
    assert not (folder / "ran").exists()


@pytest.fixture
def line():
    """A model that returns the first input: what it predicts is known."""
    inputs = keras.Input((3, 2))
    x = keras.layers.Flatten()(inputs)
    start = np.eye(6, 1, dtype="float32")
    dense = keras.layers.Dense(
        1, kernel_initializer=lambda *_, **__: keras.ops.convert_to_tensor(start)
    )
    return keras.Model(inputs, dense(x))


@pytest.fixture
def pretend(monkeypatch, line):
    """Makes OpenVINO return the first input plus an error; returns the inputs."""

    def start(error=0.0, failure=None):
        def call(model, shape, batch_size, precision):
            if failure:
                raise openvino_engine.Unusable(failure)
            return lambda batch: batch[:, 0, :1] + np.float32(error)

        monkeypatch.setattr(openvino_engine, "installed", lambda: True)
        monkeypatch.setattr(
            openvino_engine,
            "identity",
            lambda precision: {"name": "openvino", "precision": precision},
        )
        monkeypatch.setattr(openvino_engine, "openvino_call", call)
        return np.random.default_rng(0).uniform(0, 1, (4, 3, 2)).astype("float32")

    return start


@pytest.mark.parametrize("wanted", ["auto", "openvino"])
def test_openvino_is_taken_where_it_agrees(pretend, line, wanted):
    engine = chosen(line, wanted, pretend(error=5e-5))
    assert engine.identity == {"name": "openvino", "precision": "float32"}
    assert "e-05 (1 + z)" in str(engine)


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ({"error": 1e-3}, r"e-04 \(1 \+ z\)|e-03 \(1 \+ z\)"),
        ({"error": np.nan}, "inf"),
        ({"failure": "the export failed: Why"}, "failed: Why"),
    ],
)
def test_openvino_that_fails_or_disagrees_is_left_or_refused(
    pretend, line, behaviour, told
):
    inputs = pretend(**behaviour)
    engine = chosen(line, "auto", inputs)
    assert engine.identity["name"] == "keras"
    with pytest.raises(InputError, match=told) as error:
        chosen(line, "openvino", inputs)
    assert "\n" not in str(error.value) and "--engine keras" in str(error.value)
    np.testing.assert_allclose(engine.call(inputs), inputs[:, 0, :1], rtol=1e-6)


def test_auto_says_why_it_takes_keras(pretend, line, monkeypatch):
    inputs = pretend()
    assert "2000000 rows" in chosen(line, "auto", inputs, rows=1_999_999).why
    assert chosen(line, "auto", inputs, rows=2_000_000).identity["name"] == "openvino"
    assert chosen(line, "keras", inputs).identity["name"] == "keras"
    monkeypatch.setattr(engines, "accelerators", lambda: ["gpu:0"])
    assert "GPU" in chosen(line, "auto", inputs).why
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    assert "kphotoz[openvino]" in chosen(line, "auto", inputs).why


def test_openvino_that_is_missing_is_told_with_its_remedy(line, monkeypatch):
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'kphotoz\[openvino\]'"):
        chosen(line, "openvino", np.zeros((4, 3, 2), "float32"))
    with pytest.raises(InputError, match="Unknown engine"):
        chosen(line, "torch", np.zeros((4, 3, 2), "float32"))


@pytest.mark.parametrize("has", [False, True])
def test_bfloat16_is_used_only_where_the_processor_has_it(
    pretend, line, monkeypatch, has
):
    inputs = pretend(error=5e-3)  # allowed to bfloat16 alone
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda: has)
    engine = chosen(line, "auto", inputs, precision="mixed_bfloat16")
    wanted = ("openvino", "bfloat16") if has else ("keras", "float32")
    assert (engine.identity["name"], engine.identity["precision"]) == wanted
    assert chosen(line, "auto", inputs).identity["name"] == "keras"


def test_a_worker_starts_the_engine_that_was_chosen_elsewhere(pretend, line):
    inputs = pretend(error=0.5)
    keras_engine = chosen(line, "keras", inputs)
    call = engines.start(line, keras_engine.identity, (3, 2), 4)
    np.testing.assert_array_equal(call(inputs), keras_engine.call(inputs))
    there = {"name": "openvino", "precision": "float32"}
    found = engines.start(line, there, (3, 2), 4)(inputs)
    np.testing.assert_allclose(found, inputs[:, 0, :1] + 0.5)
    other = keras_engine.identity | {"version": "0.1"}
    with pytest.raises(InputError, match="same versions"):
        engines.start(line, other, (3, 2), 4)


def test_sources_of_several_shapes_are_left_to_keras(pretend, line):
    inputs = pretend()
    engine = engines.choose(
        line,
        "auto",
        shapes=[(4, 4, 3), (8, 8, 3)],
        rows=10**9,
        batch_size=4,
        precision="float32",
        sample=lambda: inputs,
    )
    assert engine.identity["name"] == "keras" and "several shapes" in engine.why


class Rows:
    """A stream of rows of which those before `first` cannot be used."""

    input_shape = (3, 2)

    def __init__(self, inputs, first):
        self.inputs, self.flags = inputs, np.full(len(inputs), "", object)
        self.flags[:first] = "no_photometry"

    def __len__(self):
        return 10**9

    def chunks(self, size, start=0):
        for at in range(start, len(self.inputs), size):
            yield at, self.inputs[at : at + size], self.flags[at : at + size]


def test_engines_are_compared_on_rows_that_can_be_used(pretend, line, monkeypatch):
    inputs = np.concatenate([pretend() for _ in range(3)])

    def scaled(model, shape, batch_size, precision):
        return lambda batch: 1.01 * batch[:, 0, :1]  # which zeros do not show

    monkeypatch.setattr(openvino_engine, "openvino_call", scaled)
    streams = [Rows(inputs, first=12), Rows(inputs, first=9)]
    engine = rows.engine_for(line, "auto", streams, 4, "float32")
    assert engine.identity["name"] == "keras" and "differs" in engine.why
    engine = rows.engine_for(line, "auto", streams[:1], 4, "float32")
    assert engine.identity["name"] == "keras" and "no usable row" in engine.why
    engine = rows.engine_for(line, "openvino", streams[:1], 4, "float32")
    assert engine.identity["name"] == "openvino" and "no usable row" in engine.why
    monkeypatch.setattr(rows, "_BATCHES_SEARCHED", 5)  # it takes six to come so far
    assert "no usable" in rows.engine_for(line, "auto", streams, 4, "float32").why


def test_resume_refuses_another_engine(make_file, tmp_path, monkeypatch):
    class Model:
        def predict_on_batch(self, batch):
            return batch[:, 0, 0, :1]

    def stop(done, total):
        if 0 < done < total:
            raise KeyboardInterrupt

    many = {"redshift": np.zeros(40), "id": np.arange(40)}
    path = make_file("npz", np.ones((40, 4, 16, 16), np.float32), **many)
    spec = FileSpec.create(file=path, bands=tuple("griz"))
    options = {"batch_size": 2, "model_hash": "a"}
    with pytest.raises(KeyboardInterrupt):
        predict(Model(), [spec], tmp_path / "p.csv", progress=stop, **options)
    other = engines.Engine(lambda batch: batch[:, 0, 0, :1], {"name": "other"}, "")
    monkeypatch.setattr("kphotoz.prediction.rows.choose", lambda *_, **__: other)
    with pytest.raises(InputError, match="another engine"):
        predict(Model(), [spec], tmp_path / "p.csv", resume=True, **options)
    told = []
    predict(Model(), [spec], tmp_path / "p.csv", tell=told.append, **options)
    assert told == ["Engine: other ()"]


@needs_openvino
@pytest.mark.large
def test_resumed_openvino_gives_the_same_bytes(make_file, tmp_path):
    rng = np.random.default_rng(1)
    pixels = rng.normal(1, 1, (40, 4, 16, 16)).astype(np.float32)
    path = make_file("npz", pixels, redshift=np.zeros(40), id=np.arange(40))
    spec = FileSpec.create(file=path, bands=tuple("griz"), pixel_scale=0.2)
    model = photoz(images(), *CASES["images"][1:])

    def stop(done, total):
        if 0 < done < total:
            raise KeyboardInterrupt

    options = {"batch_size": 2, "engine": "openvino"}
    with pytest.raises(KeyboardInterrupt):
        predict(model, [spec], tmp_path / "a.parquet", progress=stop, **options)
    predict(model, [spec], tmp_path / "a.parquet", resume=True, **options)
    summary = predict(model, [spec], tmp_path / "b.parquet", **options)
    assert summary.engine["name"] == "openvino"
    whole = (tmp_path / "b.parquet").read_bytes()
    assert (tmp_path / "a.parquet").read_bytes() == whole
    assert os.listdir(tmp_path) and not list(tmp_path.glob(".*parts"))
