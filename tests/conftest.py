"""Settings of every test: one backend a run, no GPU memory grab, real data if given."""

import atexit
import csv
import gc
import os
import pathlib
import shutil
import tempfile
import types

import h5py
import numpy as np
import pytest
from astropy.io import fits

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line sets it
# Whatever the machine, the tests' own tolerances are those of float32.
os.environ.setdefault("KPHOTOZ_PRECISION", "float32")
# Nothing of an earlier run decides a test.
os.environ.setdefault("KPHOTOZ_CACHE", "off")
# The tests are many processes already.
os.environ.setdefault("KPHOTOZ_JOBS", "1")
# Halves the time that JAX takes for compiling small models; .ci/large sets it to 0.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# What JAX compiles is shared by all tests of a run, its workers and their processes.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="kphotoz_jax_")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], True)

# Arrays, files and text: nothing in these rooms asks Keras, so one backend says all.
ONE_BACKEND = (
    *("datasets", "tests/benchmarks", "tests/data", "tests/datasets", "tests/docs"),
    *("tests/features", "tests/metrics", "tests/report"),
    *("tests/files_in", "tests/untrusted"),
    "tests/hostile/test_hostile_files.py",  # the models beside it are for both
    *("tests/cli/test_data.py", "tests/cli/test_evaluate.py"),
    "tests/comparison/test_workers.py",
    "tests/cli/test_kills.py",  # 14 minutes; a test of test_fit.py kills on both
    *("tests/cli/test_evaluate_many.py", "tests/test_architecture.py"),
    *("tests/packaging/test_tfds_build.py", "tests/packaging/test_wheel.py"),
    "tests/packaging/test_tfds_build_manual.py",
)
# Batches come from TensorFlow and go to the backend's device.
BOTH_BACKENDS = "tests/data/test_batches.py"


_FAMILIES = (
    "tests/guarantees/test_families.py::test_a_sample_of_families_keeps_the_contract"
)
# Comparisons of many small models, and tests that start both backends themselves: on
# JAX compilation makes them slow, so there they belong to the large tests.
LARGE_ON_JAX = (
    "tests/backend/test_distribution.py::test_two_devices",  # two processes are quick
    "tests/guarantees/test_paper_traps.py::test_trap_5_both_dropouts_are_recorded",
    "tests/prediction/test_engines.py::test_openvino_predicts_as_the_saved_network",
    "tests/prediction/test_engines.py::test_compiled_network_needs_no_framework",
    "tests/cli/test_bench.py",  # tests/training/test_timing.py shows the same
    "tests/cli/test_fit.py::test_a_stopped_and_killed_fit",
    "tests/cli/test_fit.py::test_an_adapter_is_refused_by_another_base",
    "tests/cli/test_compare_catalog.py::test_a_table_is_fitted",
    "tests/cli/test_compare.py::test_a_grid_is_searched",
    "tests/cli/test_compare.py::test_an_unlabelled_deployment_survey",
    "tests/cli/test_compare.py::test_regimes_run_on_a_users_two_samples",
    "tests/regimes/test_augment.py",
    # The three that stay convolve and attend as well.
    *(f"{_FAMILIES}[{name}]" for name in ("Bert", "ViT", "ConvNeXtTiny")),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leaves out on JAX what TensorFlow's run has shown, unless it is asked for."""
    asked = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    if asked or os.environ.get("KERAS_BACKEND") != "jax":
        return
    for item in items:
        if item.nodeid.startswith(LARGE_ON_JAX):
            item.add_marker(pytest.mark.large)
    root = config.rootpath
    once = tuple(root / name for name in ONE_BACKEND)
    skipped = [
        item
        for item in items
        if any(item.path.is_relative_to(one) for one in once)
        and item.path != root / BOTH_BACKENDS
    ]
    config.hook.pytest_deselected(items=skipped)
    items[:] = [item for item in items if item not in set(skipped)]


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real survey data, or a skip that says how to get one."""
    folder = os.environ.get("KPHOTOZ_REAL_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("KPHOTOZ_REAL_DATA names no folder of real survey data")
    return pathlib.Path(folder)


class MemoryStore:
    """A split of a survey whose examples are in memory, as `Sample` reads one."""

    def __init__(self, info, table: dict, inputs: np.ndarray) -> None:
        self.info, self.table, self.inputs = info, table, inputs

    def __len__(self) -> int:
        return len(self.inputs)


def made_sample(redshift, inputs, bands, kind, name, tag, seed, **columns):
    """Returns a Sample of the given inputs with ids of its own."""
    from kphotoz import data

    count = len(redshift)
    ids = np.array([f"{tag}{seed}-{i}" for i in range(count)], object)
    nothing = np.full(count, np.nan)
    table = {"id": ids, "group": ids, "redshift": redshift, "z_true": redshift}
    table |= dict.fromkeys(("redshift_error", "magnitude", "ra", "dec"), nothing)
    table |= columns
    info = data.SurveyInfo(
        name=f"{name}{tag}",
        bands=tuple(bands),
        pixel_scale=0.2 if kind == "image" else None,
        unit="count",
        kind=kind,
        input_shape=inputs.shape[1:],
        label_kind="spectroscopic",
        counts={"train": count},
        metadata={"licence": "none", "acknowledgement": "none"},
    )
    store = MemoryStore(info, table, inputs.astype("float32"))
    return data.Sample([(store, np.arange(count))])


@pytest.fixture(scope="session")
def make_sample():
    """Returns a function that makes small samples of round, noisy, reddening blobs."""

    def make(count: int, seed: int = 0, size: int = 16, bands: str = "gri", tag=""):
        random = np.random.default_rng(seed)
        redshift = random.uniform(0.1, 1.0, count)
        rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
        blob = np.exp(-(rows**2 + columns**2) / 8)
        colour = 1 + redshift[:, None] * np.arange(len(bands))
        pixels = blob[None, :, :, None] * colour[:, None, None, :]
        pixels = pixels + random.normal(0, 0.02, pixels.shape)
        return made_sample(redshift, pixels, bands, "image", "blobs", tag, seed)

    return make


@pytest.fixture(scope="session")
def make_catalog():
    """Returns a function that makes small catalogues whose colours tell the redshift.

    Magnitudes are 20 + noise in the first band; each next band is brighter by twice the
    redshift; errors are a twentieth of the flux. Other columns are keywords.
    """

    def make(count: int, seed: int = 0, bands: str = "gri", tag="", **columns):
        random = np.random.default_rng(seed)
        redshift = random.uniform(0.1, 1.0, count)
        first = 20 + random.normal(0, 0.5, count)
        magnitude = first[:, None] - 2 * redshift[:, None] * np.arange(len(bands))
        flux = 10 ** (-0.4 * (magnitude - 23.9))
        flux = flux * (1 + 0.05 * random.normal(size=flux.shape))
        inputs = np.stack([flux, 0.05 * flux], axis=-1)
        columns = {"magnitude": magnitude[:, -1], **columns}
        return made_sample(
            redshift, inputs, bands, "catalog", "catalogue", tag, seed, **columns
        )

    return make


BANDS = ("g", "r", "i", "z")


def cutouts(rows=6, bands=4, size=16):
    """Returns band-first images and their columns, made from a fixed seed."""
    images = np.random.default_rng(5).normal(1, 0.2, (rows, bands, size, size))
    return images.astype(np.float32), {
        "redshift": np.linspace(0.1, 0.6, rows),
        "id": np.array([f"n{row}" for row in range(rows)]),
    }


def write_hdf5(folder, images, columns):
    path = folder / "cutouts.h5"
    with h5py.File(path, "w") as file:
        file["images"] = images
        file["images"].attrs["bands"] = ",".join(BANDS[: images.shape[1]])
        for name, column in columns.items():
            is_text = column.dtype.kind == "U"
            file[name] = column.astype("S") if is_text else column
    return path


def write_npz(folder, images, columns):
    path = folder / "cutouts.npz"
    np.savez_compressed(path, images=images, **columns)
    return path


def write_fits(folder, images, columns):
    path = folder / "cutouts"
    path.mkdir()
    names = [f"{row}.fits" for row in range(len(images))]
    for name, image in zip(names, images, strict=True):
        fits.PrimaryHDU(image).writeto(path / name)
    with open(path / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *columns])
        writer.writerows(zip(names, *columns.values(), strict=True))
    return path


WRITERS = {"hdf5": write_hdf5, "npz": write_npz, "fits": write_fits}


@pytest.fixture
def make_file(tmp_path):
    """Returns a function that writes cutouts; images and columns can be replaced."""

    def make(kind, images=None, folder="", **changed):
        base = tmp_path / folder
        base.mkdir(exist_ok=True)
        wanted, columns = cutouts()
        images = wanted if images is None else images
        columns = {k: v for k, v in (columns | changed).items() if v is not None}
        return WRITERS[kind](base, images, columns)

    return make


@pytest.fixture(scope="session")
def plain_cutouts():
    return cutouts


CATALOG_BANDS = ("g", "r", "i")


def catalog_columns(rows=8, seed=3):
    """Returns columns whose values no format rounds: float64 and 64-bit ids."""
    rng = np.random.default_rng(seed)
    table = {"objid": 1237655500272500810 + np.arange(rows) * 3}
    for band, shift in zip(CATALOG_BANDS, (0.0, -0.5, -0.9), strict=True):
        table[f"mag_{band}"] = 22 + shift + rng.normal(0, 0.7, rows)
        table[f"err_{band}"] = rng.uniform(0.01, 0.1, rows)
    table["zspec"] = rng.uniform(0.1, 1.0, rows)
    return table


def write_table(path, table):
    """Writes columns in the format of the path's suffix; returns the path."""
    if path.suffix in (".csv", ".tsv"):
        with open(path, "w", newline="") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(table)
            rows = zip(*(np.asarray(x).tolist() for x in table.values()), strict=True)
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        arrays = {
            key: value.tolist() if getattr(value, "ndim", 1) == 2 else value
            for key, value in table.items()
        }
        parquet.write_table(pyarrow.table(arrays), path, row_group_size=3)
    else:
        from astropy.table import Table

        format = "ascii.ecsv" if path.suffix == ".ecsv" else "fits"
        Table(table).write(path, format=format, overwrite=True)
    return path


def catalog_fields(**changed):
    """Returns the fields of the spec that describes `catalog_columns`."""
    known = {
        "bands": CATALOG_BANDS,
        "magnitudes": tuple(f"mag_{band}" for band in CATALOG_BANDS),
        "magnitude_errors": tuple(f"err_{band}" for band in CATALOG_BANDS),
        "keys": {"redshift": "zspec", "id": "objid"},
        "photometry": "unknown",
    }
    return {k: v for k, v in (known | changed).items() if v is not None}


@pytest.fixture(scope="session")
def catalogs():
    """Functions for small tables of photometry: columns(), write(), fields()."""
    return types.SimpleNamespace(
        columns=catalog_columns, write=write_table, fields=catalog_fields
    )


@pytest.fixture
def kphotoz():
    """Returns a function that runs a command and returns what it printed."""

    # Not above: both import Keras, which reads the variables set there.
    from click.testing import CliRunner

    from kphotoz.errors import InputError
    from kphotoz_cli.main import group

    def run(*arguments):
        result = CliRunner().invoke(group, [str(item) for item in arguments])
        if isinstance(result.exception, InputError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture(scope="session")
def survey_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    patch = pytest.MonkeyPatch()
    patch.setenv("TFDS_DATA_DIR", str(folder))
    yield folder
    patch.undo()


def pytest_collection_finish(session):
    """Spares what is imported by now the garbage collections that follow.

    Keras collects all garbage for each weight that it quantizes, and for each model.
    """
    gc.collect()
    gc.freeze()
