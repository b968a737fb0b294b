"""Targets that are text: descriptions of surveys, recipes and settings.

See `readers.py` for what a target is.
"""

import pathlib

from readers import ROWS, cutouts, photometry, use_spec, write_csv


def survey_yaml(folder):
    from kphotoz.files_in.specs import make_spec

    inside = folder / "cutouts"
    cutouts(inside, lambda columns: write_csv(inside / "table.csv", columns))
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
    from kphotoz.files_in.specs import make_spec

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
    "survey_yaml": (survey_yaml, 500),
    "catalog_yaml": (catalog_yaml, 400),
    "recipe": (recipe, 300),
    "settings": (settings, 500),
}
