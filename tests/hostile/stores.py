"""Targets that are models and what runs leave: adapters, checkpoints, run folders.

See `readers.py` for what a target is.
"""

import json

import numpy as np


def _model():
    import keras

    from kphotoz.layers import BandStretch

    keras.utils.set_random_seed(3)
    inputs = keras.Input((16, 16, 4), name="image")
    x = BandStretch("griz", 0.2, name="stretch")(inputs)
    x = keras.layers.Conv2D(6, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(5, activation="tanh", name="dense")(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="head")(x))


def _adapted(model, **options):
    from kphotoz import adapters

    adapted = adapters.apply(
        model, rank=2, targets="conv|dense", train_also="head", **options
    )
    for weight in adapted.trainable_variables:
        weight.assign(weight + 0.25)
    return adapted


def _predict(model):
    """Checks that a model has finite weights and predicts one number for each image.

    Finite factors of 3e38 may give a prediction that is not: `predict` flags it.
    """
    for weight in model.weights:
        assert np.isfinite(np.asarray(weight)).all(), weight.path
    assert np.shape(model(np.ones((2, 16, 16, 4), "f4"))) == (2, 1)


def _load(path):
    """Checks that no weight is larger than the file."""
    from kphotoz import models

    for weight in models.load(path).weights:
        assert 4 * np.prod(weight.shape) <= 2 * path.stat().st_size + (1 << 20)


def adapter(folder, **options):
    from kphotoz import adapters

    base, path = _model(), folder / "a.safetensors"
    adapters.save(_adapted(base, **options), path)

    def use():
        from readers import command

        _predict(adapters.load(base, path))
        command("adapter", "show", str(path))

    return {path.name: "safetensors"}, use


def peft(folder):
    from kphotoz.adapters import from_peft, peft_file

    base = _model()
    random = np.random.default_rng(0)
    factors = {
        f"net.{name}": peft_file.PeftFactors(
            random.normal(size=(rank, *inputs)).astype("float32"),
            random.normal(size=(outputs, rank, *ones)).astype("float32"),
            4.0 * rank,
        )
        for name, rank, inputs, outputs, ones in (
            ("conv", 2, (4, 3, 3), 6, (1, 1)),
            ("dense", 3, (6,), 5, ()),
        )
    }
    peft_file.write(folder, factors)
    names = {"net.conv": "conv", "net.dense": "dense"}
    files = {"adapter_config.json": "json", "adapter_model.safetensors": "safetensors"}
    return files, lambda: _predict(from_peft(folder, base, names))


def checkpoint(folder):
    import keras

    from kphotoz.training import checkpoint, loop
    from kphotoz.training.settings import Training

    inputs = keras.Input((3,))
    model = keras.Model(
        inputs, keras.layers.Dense(1)(keras.layers.Dropout(0.1)(inputs))
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    model.train_on_batch(np.ones((2, 3)), np.ones(2))
    arrays = checkpoint.state(model)
    best = [np.asarray(weight) for weight in model.get_weights()]
    arrays |= {f"best/{i:05d}": weight for i, weight in enumerate(best)}
    facts = {"epoch": 3, "best_epoch": 2, "best_score": 0.1, "smoothed": None}
    facts |= {"history": [{"epoch": 1, "loss": 0.5, "score": 0.2}], "waited": 1}
    facts |= {"plateau": {"rate": 1e-3}}
    checkpoint.save(folder / "last.safetensors", arrays, facts)
    chosen = Training(schedule="plateau")

    def use():
        found = loop._resume(model, folder, chosen)
        assert found.epoch >= 0 and found.waited >= 0
        for weight, array in zip(model.weights, found.best.values(), strict=True):
            assert weight.shape == array.shape and array.dtype == np.float32

    return {"last.safetensors": "safetensors"}, use


def keras_file(folder):
    _model().save(folder / "model.keras")
    return {"model.keras": "zip"}, lambda: _load(folder / "model.keras")


def keras_adapted(folder):
    _adapted(_model(), dora=True).save(folder / "model.keras")
    return {"model.keras": "zip"}, lambda: _load(folder / "model.keras")


def keras_photoz(folder):
    from kphotoz import models

    random = np.random.default_rng(1)
    images = random.normal(1, 0.3, (20, 16, 16, 4)).astype("float32")
    settings = {"name": "small_cnn", "crop": 12, "filters": [4], "radii": [2.0, 4.0]}
    model = models.build_photoz(
        settings,
        images,
        random.uniform(0.1, 1, 20),
        bands="griz",
        pixel_scale=None,
        seed=0,
    )
    model.save(folder / "model.keras")
    return {"model.keras": "zip"}, lambda: _load(folder / "model.keras")


def run_folder(folder):
    """The run.json of an adapter's run, beside its base's."""
    from kphotoz import adapters
    from kphotoz.files import hash_file
    from kphotoz.prediction import load_run

    for name in ("base", "run"):
        (folder / name).mkdir(exist_ok=True)
    model = _model()
    model.save(folder / "base" / "model.keras")
    adapters.save(_adapted(model), folder / "run" / "adapter.safetensors")
    sha256 = hash_file(folder / "base" / "model.keras")
    noted = {"base": "../base", "sha256": sha256}
    (folder / "run" / "run.json").write_text(json.dumps(noted))
    return {"run/run.json": "json"}, lambda: _predict(load_run(folder / "run")[0])


def comparison(folder):
    """What `compare --resume` reads of jobs that have ended."""
    from readers import write_parquet

    from kphotoz.comparison.plan import Job
    from kphotoz.comparison.predictions import read_jobs
    from kphotoz.training.run_folder import RunFolder
    from kphotoz.training.settings import Training

    job = Job("lora", 0, 1.0, 0)
    inside = folder / "jobs" / job.name
    inside.mkdir(parents=True, exist_ok=True)
    columns = {"sample": ["target"] * 4, "id": ["a", "b", "c", "d"]}
    columns |= {name: np.arange(4.0) for name in ("z_pred", "z_label", "z_true")}
    columns |= {"magnitude": np.arange(4.0), "group": ["a", "a", "b", "c"]}
    write_parquet(inside / "predictions.parquet", columns)
    run = RunFolder(inside)
    run.save_json("metrics", {"score": 0.1, "settings": Training().model_dump()})
    recipe, here = "title: a\nseeds: 3\n", {"backend": "jax", "precision": "float32"}
    (inside / "recipe.yaml").write_text(recipe)
    run.save_json("environment", here)
    kinds = {"predictions.parquet": "parquet", "recipe.yaml": "text"}
    kinds |= {"metrics.json": "json", "environment.json": "json"}

    def use():
        run.claim(recipe, resume=True)
        run.settle(here)
        columns = read_jobs(folder, [job])
        assert len({len(column) for column in columns.values()}) == 1
        assert run.settings().epochs > 0

    return {f"jobs/{job.name}/{name}": kind for name, kind in kinds.items()}, use


def base_cache(folder):
    """A base model that an earlier comparison kept; damaged, it counts as absent."""
    from kphotoz.comparison import base_cache
    from kphotoz.regimes.run_regime import Result

    entry = folder / "bases" / "0"

    whole = Result(_model(), None, [{"epoch": 1.0}], 0.1, {"seconds": 1.0})
    base_cache._keep(entry, whole)

    def use():
        found = base_cache._read(entry)
        if found is not None:
            _predict(found.model)
            assert all(type(row) is dict for row in found.history)
            assert type(found.score) is float and type(found.cost) is dict

    assert base_cache._read(entry) is not None
    return {"bases/0/result.json": "json", "bases/0/model.keras": "zip"}, use


TARGETS = {
    "adapter": (lambda folder: adapter(folder, batch_norm="train"), 300),
    "adapter_dora": (lambda folder: adapter(folder, start="pissa", dora=True), 300),
    "base_cache": (base_cache, 100),
    "checkpoint": (checkpoint, 300),
    "comparison": (comparison, 300),
    "keras_adapted": (keras_adapted, 100),
    "keras_file": (keras_file, 150),
    "keras_photoz": (keras_photoz, 100),
    "peft": (peft, 400),
    "run_folder": (run_folder, 100),
}
