"""Targets that our own commands and releases of surveys leave on the disk.

See `readers.py` for what a target is.
"""

import html.parser
import importlib.util
import json
import os
import pathlib

import numpy as np
from readers import write_hdf5


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


def report(folder):
    """The captions and figures that a page takes in."""
    from kphotoz.report import write_html

    (folder / "captions.json").write_text(json.dumps({"bars.png": "What <b> it is"}))
    (folder / "bars.png").write_bytes(b"\x89PNG\r\n" + bytes(200))
    page = folder / "report.html"

    def use():
        write_html({}, [folder / "bars.png"], page)
        tags = _Tags()
        tags.feed(page.read_text("utf-8"))
        assert tags.found <= _OURS, tags.found - _OURS

    return {"captions.json": "json", "bars.png": "bytes"}, use


_OURS = set("html head meta title style body header main h1 h2 h3 p ul li div".split())
_OURS |= set("figure img figcaption details summary code table thead".split())


class _Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attributes):
        self.found.add(tag)
        assert not [name for name, _ in attributes if name.startswith("on")]


def release(folder):
    """A file of GalaxiesML's layout, as it comes from Zenodo."""
    from kphotoz_datasets import _hdf5_layout as layout

    path = pathlib.Path(__file__).parents[2] / "benchmarks" / "write_galaxies_ml.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written, *_ = script.write_set(folder, "galaxies_ml", (5, 1, 1), image_size=16)
    file = layout.SurveyFile(written, "galaxies_ml", "train")

    def use():
        found = layout.read_catalogue([file], {}, 16)
        assert all(len(column) == len(found) for column in found.columns.values())
        redshifts = found.columns["redshift"]
        assert redshifts.dtype == np.float64 and not np.isinf(redshifts).any()
        rows = np.arange(len(found))
        images = list(layout.read_images(file, rows))
        assert sum(len(pixels) for _, pixels in images) == len(found)
        assert all(x.shape[1:] == (16, 16, 5) and x.dtype == "f4" for _, x in images)

    return {written.name: "hdf5"}, use


def survey(folder):
    """An imported survey: what TFDS wrote, and read again."""
    from kphotoz import data, files_in
    from kphotoz.files_in.file_spec import FileSpec

    os.environ["TFDS_DATA_DIR"] = str(folder / "tfds")
    write_hdf5(folder / "a.h5")
    spec = FileSpec.create(
        file=folder / "a.h5", bands=("g", "r"), photometry="unknown", name="a"
    )
    name = files_in.import_file(spec)
    built = next((folder / "tfds").glob("cutouts/*/*/dataset_info.json")).parent

    def use():
        for sample in data.open_survey(name).values():
            if len(sample):
                store, _ = sample._parts[0]
                assert len(store.table["id"]) == len(store) == len(store.inputs)
                assert np.isfinite(store.inputs).all()

    files = {}
    for path in sorted(built.iterdir()):
        kind = "json" if path.suffix == ".json" else "bytes"
        files[str(path.relative_to(folder))] = kind
    return files, use


TARGETS = {
    "parts": (parts, 400),
    "report": (report, 200),
    "release": (release, 300),
    "survey": (survey, 150),
}
