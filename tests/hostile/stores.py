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


def adapter(folder):
    from kphotoz import adapters

    base = _model()
    adapters.save(_adapted(base, batch_norm="train"), folder / "a.safetensors")
    adapters.save(_adapted(base, start="pissa", dora=True), folder / "b.safetensors")
    files = {"a.safetensors": "safetensors", "b.safetensors": "safetensors"}

    def use():
        from readers import command

        for name in files:
            adapters.load(base, folder / name)
            command("adapter", "show", str(folder / name))

    return files, use


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
    return files, lambda: from_peft(folder, base, names)


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
    use = lambda: loop._resume(model, folder, chosen)  # noqa: E731
    return {"last.safetensors": "safetensors"}, use


def keras_file(folder):
    from kphotoz import models

    _model().save(folder / "model.keras")
    return {"model.keras": "zip"}, lambda: models.load(folder / "model.keras")


def keras_adapted(folder):
    from kphotoz import models

    _adapted(_model(), dora=True).save(folder / "model.keras")
    return {"model.keras": "zip"}, lambda: models.load(folder / "model.keras")


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
    return {"model.keras": "zip"}, lambda: models.load(folder / "model.keras")


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
    return {"run/run.json": "json"}, lambda: load_run(folder / "run")


def parts(folder):
    """Finished shards of a killed prediction."""
    from kphotoz.prediction.parts import Parts

    out, plan = folder / "out.parquet", {"inputs": ["a.h5"], "model": "0f", "size": 3}
    Parts(out, plan, False).write("0-0", np.ones(3, "f4"), np.array(["", "a", ""]))

    def use():
        held = Parts(out, plan, True).read("0-0", 3)
        if held is not None:
            predicted, flags = held
            assert predicted.shape == flags.shape == (3,)
            assert predicted.dtype == np.float32 and flags.dtype == object

    inside = ".out.parquet.parts"
    return {f"{inside}/0-0.npz": "zip", f"{inside}/plan.json": "json"}, use


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
    columns |= {"magnitude": np.arange(4.0)}
    write_parquet(inside / "predictions.parquet", columns)
    run = RunFolder(inside)
    run.save_json("metrics", {"score": 0.1, "settings": Training().model_dump()})
    within = f"jobs/{job.name}"

    def use():
        read_jobs(folder, [job])
        run.settings()

    return {
        f"{within}/predictions.parquet": "parquet",
        f"{within}/metrics.json": "json",
    }, use


def report(folder):
    """The captions and figures that a page takes in."""
    from kphotoz.report import write_html

    (folder / "captions.json").write_text(json.dumps({"bars.png": "What <b> it is"}))
    (folder / "bars.png").write_bytes(b"\x89PNG\r\n" + bytes(200))
    figure = folder / "bars.png"
    files = {"captions.json": "json", "bars.png": "bytes"}
    return files, lambda: write_html({}, [figure], folder / "report.html")


def survey(folder):
    """An imported survey: what TFDS wrote, and read again."""
    import os

    from readers import use_images, write_hdf5  # noqa: F401

    from kphotoz import data
    from kphotoz.data.file_spec import FileSpec

    os.environ["TFDS_DATA_DIR"] = str(folder / "tfds")
    write_hdf5(folder / "a.h5")
    spec = FileSpec.create(
        file=folder / "a.h5", bands=("g", "r"), photometry="unknown", name="a"
    )
    name = data.import_file(spec)
    built = next((folder / "tfds").glob("cutouts/*/*/dataset_info.json")).parent

    def use():
        for sample in data.open_survey(name).values():
            if len(sample):
                store, _ = sample._parts[0]
                assert len(store.table["id"]) == len(store) == len(store.inputs)

    files = {}
    for path in sorted(built.iterdir()):
        kind = "json" if path.suffix == ".json" else "bytes"
        files[str(path.relative_to(folder))] = kind
    return files, use


TARGETS = {
    "adapter": (adapter, 400),
    "peft": (peft, 400),
    "checkpoint": (checkpoint, 300),
    "keras_file": (keras_file, 150),
    "keras_adapted": (keras_adapted, 100),
    "keras_photoz": (keras_photoz, 100),
    "run_folder": (run_folder, 100),
    "parts": (parts, 400),
    "comparison": (comparison, 400),
    "report": (report, 200),
    "survey": (survey, 100),
}
