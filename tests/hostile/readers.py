"""Targets that are data: files of images, tables, descriptions and recipes.

A target is a function that makes good files in a folder and returns {file name: kind of
damage} and a function that uses the files as a command does.
"""

import csv
import io
import pathlib

import h5py
import numpy as np
from astropy.io import fits

ROWS = 5
BANDS = ("g", "r")
RANDOM = np.random.default_rng(2)
IMAGES = RANDOM.normal(1, 0.2, (ROWS, 2, 16, 16)).astype("f4")
LABELS = {
    "redshift": np.linspace(0.1, 0.9, ROWS),
    "id": np.array([f"n{row}" for row in range(ROWS)]),
    "ra": np.linspace(150, 151, ROWS),
    "dec": np.linspace(2, 3, ROWS),
}


def use_spec(spec):
    """Does what importing and predicting do with a file, but for building it."""
    from kphotoz.data.importing import row_flags, row_groups
    from kphotoz.data.readers import open_survey_file

    spec.check_photometry()
    with open_survey_file(spec) as file:
        file.require("redshift")
        assert len(row_groups(file)) == len(file)
        assert len(row_flags(file)) == len(file.table["id"]) == len(file)


def use_images(path):
    from kphotoz.data.file_spec import FileSpec

    fields = {"bands": BANDS, "pixel_scale": 0.2, "photometry": "unknown"}
    return lambda: use_spec(FileSpec.create(file=path, **fields))


def write_hdf5(path, images=IMAGES, labels=LABELS, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **options)
        file["images"].attrs["bands"] = ",".join(BANDS)
        for name, column in labels.items():
            column = column.astype("S") if column.dtype.kind == "U" else column
            file[name] = column


def hdf5(folder):
    write_hdf5(folder / "a.h5", chunks=(1, 2, 16, 16), compression="gzip")
    return {"a.h5": "hdf5"}, use_images(folder / "a.h5")


def hdf5_plain(folder):
    write_hdf5(folder / "a.h5")
    return {"a.h5": "hdf5"}, use_images(folder / "a.h5")


def npz(folder):
    np.savez(folder / "a.npz", images=IMAGES, **LABELS)
    return {"a.npz": "zip"}, use_images(folder / "a.npz")


def npz_deflated(folder):
    np.savez_compressed(folder / "a.npz", images=IMAGES, **LABELS)
    return {"a.npz": "zip"}, use_images(folder / "a.npz")


# How a folder of FITS cutouts comes: its table, and what the cutouts are.
def _cutouts(folder, write):
    folder.mkdir(exist_ok=True)
    names = np.array([f"{row}.fits" for row in range(ROWS)])
    for name, image in zip(names, IMAGES, strict=True):
        fits.PrimaryHDU(image).writeto(folder / name, overwrite=True)
    write({"image": names, **LABELS})


def fits_cutouts(folder):
    inside = folder / "cutouts"
    _cutouts(inside, lambda columns: write_csv(inside / "table.csv", columns))
    planes = zip(IMAGES[1], BANDS, strict=True)
    hdus = [fits.ImageHDU(plane, name=band) for plane, band in planes]
    hdus.insert(0, fits.PrimaryHDU())
    fits.HDUList(hdus).writeto(inside / "1.fits", overwrite=True)
    packed = fits.CompImageHDU(IMAGES[2, 0].round(2))
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(inside / "2.fits", overwrite=True)
    files = {f"cutouts/{row}.fits": "fits" for row in range(3)}
    return files, use_images(inside)


def fits_cutouts_table(folder):
    inside = folder / "cutouts"
    _cutouts(inside, lambda columns: write_csv(inside / "table.csv", columns))
    return {"cutouts/table.csv": "text"}, use_images(inside)


def fits_cutouts_fits(folder):
    inside = folder / "cutouts"
    _cutouts(inside, lambda columns: write_fits(inside / "table.fits", columns))
    return {"cutouts/table.fits": "fits"}, use_images(inside)


def fits_cutouts_parquet(folder):
    inside = folder / "cutouts"
    _cutouts(inside, lambda columns: write_parquet(inside / "table.parquet", columns))
    return {"cutouts/table.parquet": "parquet"}, use_images(inside)


def write_csv(path, columns):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
    writer.writerow(columns)
    rows = (np.asarray(column).tolist() for column in columns.values())
    writer.writerows(zip(*rows, strict=True))
    path.write_text(stream.getvalue())


def write_fits(path, columns):
    from astropy.table import Table

    Table(columns).write(path, format="fits", overwrite=True)


def write_ecsv(path, columns):
    from astropy.table import Table

    Table(columns).write(path, format="ascii.ecsv", overwrite=True)


def write_parquet(path, columns):
    import pyarrow
    from pyarrow import parquet

    columns = {key: np.asarray(value).tolist() for key, value in columns.items()}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=3)


WRITERS = {"csv": write_csv, "tsv": write_csv, "ecsv": write_ecsv}
WRITERS |= {"fits": write_fits, "parquet": write_parquet}
DAMAGE = {"csv": "text", "tsv": "text", "ecsv": "text", "fits": "fits"}
DAMAGE |= {"parquet": "parquet"}


def photometry():
    table = {"id": LABELS["id"], "redshift": LABELS["redshift"]}
    for band in BANDS:
        table[f"mag_{band}"] = RANDOM.uniform(20, 22, ROWS)
        table[f"err_{band}"] = RANDOM.uniform(0.01, 0.1, ROWS)
    return table


def catalogue(suffix):
    def target(folder):
        from kphotoz.data.catalog_spec import CatalogSpec

        path = folder / f"a.{suffix}"
        WRITERS[suffix](path, photometry())
        fields = {
            "bands": BANDS,
            "magnitudes": tuple(f"mag_{band}" for band in BANDS),
            "magnitude_errors": tuple(f"err_{band}" for band in BANDS),
            "photometry": "unknown",
        }
        use = lambda: use_spec(CatalogSpec.create(file=path, **fields))  # noqa: E731
        return {path.name: DAMAGE[suffix]}, use

    return target


def arrays(suffix):
    """A table with columns of arrays, text, and gaps."""

    def target(folder):
        from kphotoz.data.catalog_spec import CatalogSpec

        path = folder / f"a.{suffix}"
        table = photometry()
        pairs = {
            name: np.stack([table.pop(f"{name}_{band}") for band in BANDS], 1)
            for name in ("mag", "err")
        }
        WRITERS[suffix](path, table | pairs)
        fields = {
            "bands": BANDS,
            "magnitudes": ("mag[0]", "mag[1]"),
            "magnitude_errors": ("err[0]", "err[1]"),
            "photometry": "unknown",
        }
        use = lambda: use_spec(CatalogSpec.create(file=path, **fields))  # noqa: E731
        return {path.name: DAMAGE[suffix]}, use

    return target


def evaluated(suffix):
    def target(folder):
        rows = 12
        table = {
            "id": np.arange(rows) + 10**17,
            "z_pred": np.linspace(0.1, 0.9, rows),
            "z_true": np.linspace(0.12, 0.91, rows),
            "magnitude": np.linspace(18, 22, rows),
            "field": np.array(["a", "b"] * (rows // 2)),
        }
        path, other = folder / f"a.{suffix}", folder / "other.csv"
        WRITERS[suffix](path, table)
        write_csv(other, table)
        single = ["--by", "field", "--by", "magnitude", "--draws", "5"]
        return {path.name: DAMAGE[suffix]}, lambda: (
            command("evaluate", str(path), *single),
            command("evaluate", str(path), str(other), "--draws", "5"),
        )

    return target


def command(name, *arguments):
    """Runs a command of ours in this process; its output must be printable."""
    import importlib

    from click.testing import CliRunner

    module = importlib.import_module(f"kphotoz_cli.{name}")
    found = CliRunner().invoke(module.command, arguments, catch_exceptions=True)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code in (0, 2), found.output


def survey_yaml(folder):
    from kphotoz.data.specs import make_spec

    inside = folder / "cutouts"
    _cutouts(inside, lambda columns: write_csv(inside / "table.csv", columns))
    (folder / "survey.yaml").write_text(
        "file: cutouts\nname: mine\nbands: [g, r]\npixel_scale: 0.2\n"
        "keys: {redshift: redshift, id: id, image: '{id}.fits'}\nunit: nanomaggy\n"
        "table: table.csv\nzero_point: [22.5, 22.5]\nmagnitude_system: AB\n"
        "filters: [a, b]\npsf_fwhm: 0.7\nextinction: none\nskip_bad: true\n"
        "extinction_coefficient: [3.1, 2.2]\nsplits: [0.6, 0.1, 0.1, 0.2]\nseed: 3\n"
    )
    for row in range(ROWS):
        (inside / f"{row}.fits").rename(inside / f"n{row}.fits")
    return {"survey.yaml": "yaml"}, lambda: use_spec(make_spec(folder / "survey.yaml"))


def catalog_yaml(folder):
    from kphotoz.data.specs import make_spec

    write_csv(folder / "a.csv", photometry())
    (folder / "survey.yaml").write_text(
        "file: a.csv\nbands: [g, r]\nmagnitudes: [mag_g, mag_r]\n"
        "magnitude_errors: [err_g, err_r]\nmagnitude_type: asinh\nsoftening: sdss\n"
        "magnitude_system: Vega\nab_offset: [0.1, 0.2]\nfilters: unknown\n"
        "extinction: none\nreference_band: r\nmaximum_magnitude_error: 0.5\n"
        "keys: {redshift: redshift, id: id}\nlicence: none\n"
    )
    return {"survey.yaml": "yaml"}, lambda: use_spec(make_spec(folder / "survey.yaml"))


def _use_recipe(*names, settings=()):
    """Does what `compare` does with a recipe before it opens a survey."""
    from kphotoz import recipes
    from kphotoz.models.architecture import resolve
    from kphotoz.regimes import select
    from kphotoz.regimes.regime import base
    from kphotoz.regimes.resolved import resolved
    from kphotoz.regimes.sweep import expand

    for name in names:
        for profiles in ([], ["quick"]):
            recipe = recipes.load(name, profiles=profiles, settings=settings)
            regimes = select(
                recipe.regimes, recipe.overrides, recipe.source is not None
            )
            regimes = expand(regimes, recipe.sweep, recipe.overrides)
            begun = base(recipe.overrides.get("base"))
            resolve(recipe.model)
            whole = resolved(recipe, [begun, *regimes])
            (pathlib.Path(name).parent / "out.txt").write_text(recipes.dump(whole))


def recipe(folder):
    import kphotoz.recipes

    shipped = pathlib.Path(kphotoz.recipes.__file__).parent
    names = ("mock_hsc", "tabular_transfer", "cutouts")
    for name in names:
        text = (shipped / f"{name}.yaml").read_text()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        (folder / f"{name}.yaml").write_text("\n".join(lines))
    files = {f"{name}.yaml": "yaml" for name in names}
    return files, lambda: _use_recipe(*(str(folder / file) for file in files))


KEYS = ["training.epochs", "model.filters", "model", "overrides.lora.trainable.rank"]
KEYS += ["seeds", "sweep", "label_range", "evaluation.by", "title", "regimes", "x.y"]
KEYS += ["training", "target.options.count", "search", "deployment", "", ".", "a..b"]
KEYS += ["overrides.lora.trainable.targets", "published", "fractions", "source"]


def settings(folder):
    def use():
        value = (folder / "value").read_bytes().decode("utf-8", "replace")
        key = KEYS[len(value) % len(KEYS)]
        _use_recipe("mock_hsc", settings=[f"{key}={value}"])

    import os

    os.chdir(folder)  # the recipe is written where the command runs
    # The length chooses the key: this one the first.
    (folder / "value").write_text("30".rjust(len(KEYS)))
    return {"value": "value"}, use


TARGETS = {
    "hdf5": (hdf5, 300),
    "hdf5_plain": (hdf5_plain, 150),
    "npz": (npz, 500),
    "npz_deflated": (npz_deflated, 300),
    "fits_cutouts": (fits_cutouts, 500),
    "fits_cutouts_table": (fits_cutouts_table, 300),
    "fits_cutouts_fits": (fits_cutouts_fits, 300),
    "fits_cutouts_parquet": (fits_cutouts_parquet, 300),
    **{f"catalogue_{suffix}": (catalogue(suffix), 400) for suffix in WRITERS},
    "arrays_fits": (arrays("fits"), 300),
    "arrays_parquet": (arrays("parquet"), 300),
    **{f"evaluate_{suffix}": (evaluated(suffix), 300) for suffix in WRITERS},
    "survey_yaml": (survey_yaml, 500),
    "catalog_yaml": (catalog_yaml, 400),
    "recipe": (recipe, 300),
    "settings": (settings, 500),
}
