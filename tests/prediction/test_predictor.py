"""Prediction streams, flags what it cannot use, and resumes to the same bytes."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from kphotoz.data.stream import Stream
from kphotoz.errors import InputError
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.prediction import predict
from kphotoz.prediction.parts import Parts
from kphotoz.tables import read_table


class BandMeans:
    """A model in numpy: the mean pixel of each band b, counted b times, summed."""

    def __init__(self, bands="griz", scale=0.2):
        self.bands, self.pixel_scale, self.shapes = tuple(bands), scale, set()
        self.layers = [self]

    def check(self, bands, pixel_scale, zero_point):
        if tuple(bands) != self.bands:
            raise InputError(f"Wanted: {self.bands}. Received: {tuple(bands)}.")

    def predict_on_batch(self, images):
        self.shapes.add(images.shape)
        return images.mean(axis=(1, 2)) @ np.arange(images.shape[-1])[:, None]


def spec(path, **fields):
    return FileSpec.create(file=path, **{"bands": tuple("griz")} | fields)


def run(inputs, out, model=None, batch_size=4, **options):
    model = model or BandMeans()
    inputs = [spec(path) for path in inputs]
    hashed = {"model_hash": "bands", "batch_size": batch_size}
    return predict(model, inputs, out, **hashed | options)


def many(make_file):
    """Writes 40 images: at 2 a batch one whole shard and a short one."""
    columns = {"redshift": np.zeros(40), "id": np.arange(40)}
    return make_file("npz", np.ones((40, 4, 16, 16), np.float32), **columns)


def parquet(path):
    from pyarrow import parquet

    return parquet.read_table(path).to_pydict()


def test_each_row_has_its_prediction_in_order(make_file, tmp_path, plain_cutouts):
    images, columns = plain_cutouts()
    model = BandMeans()
    summary = run([make_file("hdf5")], tmp_path / "p.parquet", model)
    table = parquet(tmp_path / "p.parquet")
    wanted = images.astype(float).mean(axis=(2, 3)) @ np.arange(4)
    np.testing.assert_allclose(table["z_pred"], wanted, rtol=1e-5)
    assert table["id"] == columns["id"].tolist() and table["row"] == list(range(6))
    np.testing.assert_array_equal(table["redshift"], columns["redshift"])
    assert summary.rows == 6 and summary.flagged == {}
    # one shape only, though 6 rows are no multiple of 4: nothing compiles twice
    assert model.shapes == {(4, 16, 16, 4)}


@pytest.mark.parametrize("suffix", ["parquet", "fits", "csv"])
def test_formats_of_input_give_the_same_bits(make_file, tmp_path, suffix):
    outputs = []
    for kind in ("hdf5", "npz", "fits"):
        run([make_file(kind)], tmp_path / f"{kind}.{suffix}")
        table = read_table(tmp_path / f"{kind}.{suffix}")
        outputs.append({name: values.tobytes() for name, values in table.items()})
    assert outputs[0] == outputs[1] == outputs[2] and len(outputs[0]) > 4


def test_formats_of_output_hold_the_same_values(make_file, tmp_path):
    from astropy.table import Table

    path = make_file("npz", id=np.array(["å", "b,c", 'd"', "e", "f", ""]))
    for suffix in ("parquet", "fits", "csv"):
        run([path], tmp_path / f"p.{suffix}")
    wanted = parquet(tmp_path / "p.parquet")
    fits_table = Table.read(tmp_path / "p.fits")
    csv_table = Table.read(tmp_path / "p.csv", format="ascii.csv")
    for table in (fits_table, csv_table):
        assert table.colnames == list(wanted)
        np.testing.assert_array_equal(
            np.asarray(table["z_pred"], np.float32), np.float32(wanted["z_pred"])
        )
        np.testing.assert_array_equal(table["redshift"], wanted["redshift"])
    assert fits_table["id"].tolist()[:3] == ["\\xe5", "b,c", 'd"']
    assert csv_table["id"].tolist()[:3] == wanted["id"][:3] == ["å", "b,c", 'd"']


def test_unusable_rows_are_flagged_and_leave_the_others_alone(
    make_file, tmp_path, plain_cutouts
):
    good = make_file("npz")
    images = plain_cutouts()[0].copy()
    images[1], images[4, 0, 3, 3] = 0, np.inf
    summary = run([good], tmp_path / "good.parquet")
    summary = run([make_file("npz", images, "bad")], tmp_path / "bad.parquet")
    assert summary.flagged == {"all_zero_image": 1, "non_finite_pixels": 1}
    wanted = parquet(tmp_path / "good.parquet")["z_pred"]
    table = parquet(tmp_path / "bad.parquet")
    assert table["flag"] == ["", "all_zero_image", "", "", "non_finite_pixels", ""]
    for row in range(6):
        if table["flag"][row]:
            assert np.isnan(table["z_pred"][row])
        else:
            assert table["z_pred"][row] == wanted[row]


def test_prediction_that_is_not_finite_is_flagged(make_file, tmp_path):
    model = BandMeans()
    model.predict_on_batch = lambda x: np.where(x[:, 0, 0, :1] > 1, np.nan, 0.5)
    run([make_file("npz")], tmp_path / "p.parquet", model)
    table = parquet(tmp_path / "p.parquet")
    bad = np.isnan(table["z_pred"])
    assert 0 < bad.sum() < 6
    assert [flag == "non_finite_prediction" for flag in table["flag"]] == bad.tolist()


def test_several_inputs_are_told_apart(make_file, tmp_path):
    paths = [make_file("npz"), make_file("hdf5")]
    assert run(paths, tmp_path / "p.parquet").rows == 12
    table = parquet(tmp_path / "p.parquet")
    assert table["row"] == [0, 1, 2, 3, 4, 5] * 2
    assert table["input"] == [str(paths[0])] * 6 + [str(paths[1])] * 6
    assert table["z_pred"][:6] == table["z_pred"][6:]


def test_labels_that_one_input_lacks_are_kept_for_the_others(make_file, tmp_path):
    from astropy.table import Table

    groups, redshifts = [*"abcdef"], np.linspace(0.1, 0.6, 6)
    bare = make_file("npz", folder="bare", redshift=None, group=None)
    full = make_file(
        "npz", folder="full", redshift=redshifts, group=np.array(groups), magnitude=None
    )
    for inputs in ([bare, full], [full, bare]):
        for suffix in ("parquet", "fits", "csv"):
            run(inputs, tmp_path / f"p.{suffix}")
        at = 6 * inputs.index(full)
        has, lacks = slice(at, at + 6), slice(6 - at, 12 - at)
        table = parquet(tmp_path / "p.parquet")
        assert table["group"][has] == groups and set(table["group"][lacks]) == {""}
        np.testing.assert_array_equal(table["redshift"][has], redshifts)
        assert np.isnan(table["redshift"][lacks]).all()
        other = Table.read(tmp_path / "p.fits")
        np.testing.assert_array_equal(other["redshift"], table["redshift"])
        assert other["group"].filled("").tolist() == table["group"]


def test_other_bands_or_sizes_than_the_models_are_refused(make_file, tmp_path):
    with pytest.raises(InputError, match="'r', 'g'"):
        run([make_file("npz")], tmp_path / "p.csv", BandMeans("rgiz"))
    model = BandMeans()
    model.input_shape = (None, 32, 32, 4)
    with pytest.raises(InputError, match="\\(32, 32, 4\\).*\\(16, 16, 4\\)"):
        run([make_file("npz")], tmp_path / "p.csv", model)
    model = BandMeans()
    model.predict_on_batch = lambda images: np.zeros((len(images), 3))
    with pytest.raises(InputError, match="one redshift per object"):
        run([make_file("npz")], tmp_path / "p.csv", model)
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize("out", ["p.parquet", "deep/p.csv"])
def test_no_input_is_refused_and_leaves_nothing(tmp_path, out):
    with pytest.raises(InputError, match="an input to predict. Received: none"):
        predict(BandMeans(), [], tmp_path / out, model_hash="bands")
    assert list(tmp_path.iterdir()) == []


def test_writing_does_not_hold_up_computing(make_file, tmp_path, monkeypatch):
    computing, write = threading.Event(), Parts.write

    def wait(self, name, *columns):
        assert name.endswith("32") or computing.wait(60)
        write(self, name, *columns)

    class Counting(BandMeans):
        calls = 0

        def predict_on_batch(self, images):
            self.calls += 1
            if self.calls > 16:  # the second shard, while the first is not written
                computing.set()
            return super().predict_on_batch(images)

    monkeypatch.setattr(Parts, "write", wait)
    path = many(make_file)
    assert run([path], tmp_path / "p.csv", Counting(), batch_size=2).rows == 40


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone"])
def test_an_input_that_changes_meanwhile_is_told_in_one_line(
    catalogs, tmp_path, change
):
    table = catalogs.columns(2000)
    path = catalogs.write(tmp_path / "t.csv", table)
    lines = path.read_text().splitlines(keepends=True)
    changed = {
        "longer": lines + lines[1:],
        "shorter": lines[:900],
        "other": [lines[0], *lines[:0:-1]],
        "gone": [],
    }

    class Model:
        def predict_on_batch(self, inputs):
            if change == "gone":
                path.unlink(missing_ok=True)
            else:
                path.write_text("".join(changed[change]))
            return inputs[:, 0, :1]

    spec = CatalogSpec.create(file=path, **catalogs.fields())
    out = tmp_path / "p.csv"
    with pytest.raises(InputError, match="t.csv, which changed while it was") as error:
        predict(Model(), [spec], out, model_hash="m", batch_size=8)
    assert "\n" not in str(error.value)
    assert set(os.listdir(tmp_path)) <= {"t.csv"}  # nothing to resume from


def test_rows_that_fail_to_come_are_told(tmp_path):
    class Short(Stream):
        name, kind, bands, pixel_scale = "short", "image", tuple("griz"), None
        input_shape = (16, 16, 4)
        table = {"id": np.array([str(row) for row in range(70)], object)}

        def chunks(self, size, start=0):
            for first in range(start, 40, size):
                flags = np.full(min(size, 40 - first), "", object)
                yield first, np.ones((len(flags), 16, 16, 4), np.float32), flags

        def digest(self):
            return "short"

        def close(self):
            pass

    for size, told in [(32, "8 rows from row 32 on, not 32"), (20, "0 rows.*40")]:
        with pytest.raises(InputError, match=f"short, which changed.*{told}"):
            options = {"batch_size": size, "model_hash": "bands"}
            predict(BandMeans(), [Short()], tmp_path / "p.csv", **options)


@pytest.mark.parametrize("failing", ["0000-000000000000", "0000-000000000032"])
def test_what_fails_in_writing_is_raised(make_file, tmp_path, monkeypatch, failing):
    write = Parts.write

    def fail(self, name, *columns):
        if name == failing:
            raise InputError("Wanted: a place to write. Received: a full disk.")
        write(self, name, *columns)

    path = many(make_file)
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "write", fail)
        with pytest.raises(InputError, match="full disk"):
            run([path], tmp_path / "p.csv", batch_size=2)
    assert not (tmp_path / "p.csv").exists()
    run([path], tmp_path / "p.csv", batch_size=2, resume=True)
    run([path], tmp_path / "whole.csv", batch_size=2)
    whole = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "p.csv").read_bytes() == whole


def test_unknown_format_is_refused_before_any_work(make_file, tmp_path):
    with pytest.raises(InputError, match="Unknown format.*'.txt'"):
        run([make_file("npz")], tmp_path / "p.txt")


def test_resume_refuses_another_plan(make_file, tmp_path):
    model = BandMeans()
    calls = iter(range(3))

    def break_off(images):
        if next(calls) > 0:
            raise KeyboardInterrupt
        return images[:, 0, 0, :1]

    model.predict_on_batch = break_off
    path = many(make_file)
    with pytest.raises(KeyboardInterrupt):
        run([path], tmp_path / "p.csv", model, batch_size=2)
    assert not (tmp_path / "p.csv").exists()
    with pytest.raises(InputError, match="another model, batch_size"):
        run([path], tmp_path / "p.csv", resume=True, model_hash="b", batch_size=4)
    assert run([path], tmp_path / "p.csv", batch_size=2).rows == 40
    assert sorted(item.name for item in tmp_path.glob("*p.csv*")) == ["p.csv"]


@pytest.mark.parametrize("suffix", [".parquet", ".fits"])
def test_a_whole_table_is_not_computed_again(make_file, tmp_path, suffix):
    path, out, told = many(make_file), tmp_path / f"p{suffix}", []
    first = run([path], out, batch_size=2)
    written = out.stat().st_mtime_ns
    broken = BandMeans()
    broken.predict_on_batch = None  # cannot be called
    options = {"batch_size": 2, "resume": True, "tell": told.append}
    assert run([path], out, broken, engine="keras", **options) == first
    assert out.stat().st_mtime_ns == written and "nothing is left" in told[-1]
    assert list(tmp_path.glob("*p.*")) == [out]
    with pytest.raises(TypeError):  # another model's are
        run([path], out, broken, model_hash="b", **options)


def test_a_table_that_was_filtered_is_not_whole(make_file, tmp_path):
    from pyarrow import parquet

    path, out = many(make_file), tmp_path / "p.parquet"
    run([path], out, batch_size=2)
    parquet.write_table(parquet.read_table(out).slice(3), out)  # keeps what it says
    assert b"KPHOTOZ" in parquet.read_schema(out).metadata
    run([path], out, batch_size=2, resume=True)
    assert parquet.read_metadata(out).num_rows == 40


@pytest.mark.parametrize("content", [b"", b"PAR1", b"SIMPLE  =", b"id,z_pred\n"])
@pytest.mark.parametrize("suffix", [".parquet", ".fits", ".csv"])
def test_what_says_nothing_of_its_origin_is_replaced(
    make_file, tmp_path, suffix, content
):
    path, out = many(make_file), tmp_path / f"p{suffix}"
    out.write_bytes(content)
    run([path], out, batch_size=2, resume=True)
    run([path], whole := tmp_path / f"whole{suffix}", batch_size=2)
    assert out.read_bytes() == whole.read_bytes()


SLOW = """
import sys, time, numpy
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.data.stream import Stream
from kphotoz.prediction import predict

class Slow:
    def predict_on_batch(self, images):
        time.sleep(float(sys.argv[3]))
        return images.mean(axis=(1, 2, 3))

spec = FileSpec.create(file=sys.argv[1], bands=("g", "r", "i", "z"))
predict(Slow(), [spec], sys.argv[2], batch_size=2, model_hash="a", resume=True)
"""


def start(path, out, pause):
    command = [sys.executable, "-c", SLOW, str(path), str(out), str(pause)]
    return subprocess.Popen(command, env=os.environ | {"KERAS_BACKEND": "jax"})


@pytest.mark.large  # the quick tests kill a fit
def test_killed_prediction_resumes_to_the_same_bytes(make_file, tmp_path):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(200, 4, 16, 16)).astype(np.float32)
    path = make_file("npz", images, id=np.arange(200), redshift=np.zeros(200))
    out, parts = tmp_path / "killed.parquet", tmp_path / ".killed.parquet.parts"
    process = start(path, out, 0.02)
    deadline = time.monotonic() + 60
    while len(list(parts.glob("0*.npz"))) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not out.exists()
    kept = {item: item.stat().st_mtime_ns for item in parts.glob("0*.npz")}
    assert 2 <= len(kept) < 7
    whole = tmp_path / "whole.parquet"
    processes = [start(path, out, 0), start(path, whole, 0)]
    assert [process.wait() for process in processes] == [0, 0]
    assert out.read_bytes() == whole.read_bytes() and not parts.exists()


def test_memory_does_not_grow_with_the_file(make_file, tmp_path):
    import tracemalloc

    peaks = []
    for rows in (400, 1600):
        images = np.ones((rows, 4, 16, 16), np.float32)
        names = {"id": np.arange(rows), "redshift": np.zeros(rows)}
        path = make_file("npz", images, str(rows), **names)
        del images
        tracemalloc.start()
        run([path], tmp_path / "p.parquet", batch_size=32)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 1,200 more images are 4.9 MB; their catalogue and predictions are not 0.6 MB
    assert peaks[1] - peaks[0] < 6e5, peaks


def test_rows_of_a_stream_of_ones_own_are_predicted_as_they_come(tmp_path):
    class Made(Stream):
        name, kind, bands, pixel_scale = "made", "image", tuple("griz"), None
        input_shape, closed = (16, 16, 4), False
        table = {"id": np.array([f"r{row}" for row in range(70)], object)}

        def chunks(self, size, start=0):
            for first in range(start, 70, size):
                count = min(size, 70 - first)
                inputs = np.full((count, 16, 16, 4), first, np.float32)
                yield first, inputs, np.full(count, "", object)

        def digest(self):
            return "made"

        def close(self):
            self.closed = True

    made = Made()
    given = {"batch_size": 32, "model_hash": "bands"}
    found = predict(BandMeans(), [made], tmp_path / "p.parquet", **given)
    table = parquet(tmp_path / "p.parquet")
    assert found.rows == 70 and made.closed
    # Every band of a chunk is its first row, and 0 + 1 + 2 + 3 are six.
    assert table["z_pred"] == [6.0 * (row // 32 * 32) for row in range(70)]
    assert table["id"] == made.table["id"].tolist()
