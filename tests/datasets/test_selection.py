"""Cuts and neighbours against a plain loop over rows and astropy's separations."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from kphotoz_datasets._hdf5_layout import PER_BAND, Catalogue, ReleaseFile
from kphotoz_datasets._hdf5_options import configured
from kphotoz_datasets._selection import needed_keys, select, source_surveys

SPLITS = ("train", "validation", "test")
NAMES = ("SDSS-1-{}", "GAMA-2-{}", "GAMA-2-{},SDSS-1-{}")


def catalogue(rng, count=400, survey="galaxies_ml", place=(150.0, 2.0), width=0.05):
    """Returns a catalogue of which every cut takes some rows, split 3 : 2 : 5."""
    part = np.sort(rng.choice(3, count, p=[0.3, 0.2, 0.5]))

    def spoilt(values, *wrong):
        values = np.array(values, float)
        rows = rng.choice(count, 3 * len(wrong), replace=False)
        values.reshape(count, -1)[rows, 0] = np.repeat(wrong, 3)
        return values

    table = {
        name: rng.uniform(18, 24, (count, 5)).astype(np.float32) for name in PER_BAND
    }
    table["cmodel_mag"] = spoilt(table["cmodel_mag"], 0.0, 50.0, 60.0, np.nan)
    table["petro_rad"] = spoilt(table["petro_rad"], np.nan)
    table["redshift"] = spoilt(rng.uniform(0.02, 2, count), 0.01, 4.0, 7.0, np.nan)
    error = spoilt(rng.uniform(1e-4, 4e-3, count), 0.0, 0.02, 1.5, np.nan)
    table["specz_redshift_err"] = error
    table["specz_flag_homogeneous"] = rng.choice([1, 1, 1, 0, -1], count)
    numbers = rng.integers(0, 10 * count, count)
    names = [NAMES[k % 3].format(number, number) for k, number in enumerate(numbers)]
    table["specz_name"] = np.array([*names[5:], *[""] * 5], object)
    table["source_survey"] = source_surveys(table["specz_name"])
    ids = [str(number) for number in rng.integers(0, 30 * count, count)]
    table["id"] = np.array(ids, object)
    table["ra"] = (place[0] + rng.uniform(-width, width, count)) % 360
    table["dec"] = np.clip(place[1] + rng.uniform(-width, width, count), -90, 90)
    files = [ReleaseFile(None, survey, split) for split in SPLITS]
    row = np.arange(count) - np.searchsorted(part, part)
    return Catalogue(files, part, row, table, [], [])


def options(survey="galaxies_ml", **changed):
    return configured(survey, "images_64", changed).options


def reasons(table, chosen):
    """Returns the first reason against each row, by the README's words alone."""
    seen, found = {"specz_name": set(), "id": set()}, []
    for k in range(len(table["id"])):
        row = {name: column[k] for name, column in table.items()}
        z, error, mags = row["redshift"], row["specz_redshift_err"], row["cmodel_mag"]
        surveys = set(row["source_survey"].split("+"))
        if np.isnan(z):
            reason = "no label"
        elif any(np.isnan(row[name]).any() for name in PER_BAND):
            reason = "sentinel"
        elif not chosen["z_min"] < z < chosen["z_max"]:
            reason = "redshift out of range"
        elif not (0 < error < 1 and error < 0.005 * (1 + z)):
            reason = "redshift error out of range"
        elif chosen["secure"] and row["specz_flag_homogeneous"] != 1:
            reason = "not secure"
        elif chosen["source_surveys"] and not surveys & set(chosen["source_surveys"]):
            reason = "other source survey"
        elif not all(0 < mag < 50 for mag in mags):
            reason = "magnitude out of range"
        elif row["specz_name"] and row["specz_name"] in seen["specz_name"]:
            reason = "repeated specz_name"
        else:
            seen["specz_name"].add(row["specz_name"])
            reason = "repeated object_id" if row["id"] in seen["id"] else ""
            seen["id"].add(row["id"])
        found.append(reason)
    return np.array(found)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "changed", [{}, {"secure": True}, {"source_surveys": "SDSS", "z_max": 1.2}]
)
def test_every_row_is_left_out_for_its_first_reason(seed, changed):
    rows = catalogue(np.random.default_rng(seed), width=20)
    chosen = options(neighbours="keep", **changed)
    wanted = reasons(rows.columns, chosen)
    found = select(rows, chosen, 64, "label")
    names, counts = np.unique(wanted[wanted != ""], return_counts=True)
    assert found.left_out == dict(zip(names.tolist(), counts.tolist(), strict=True))
    splits = np.array(SPLITS, object)[rows.part]
    np.testing.assert_array_equal(found.splits, np.where(wanted == "", splits, ""))
    assert len(found.left_out) >= 6


def friends(table, used, radius):
    """Returns the friends of friends of each used row, by astropy's separations."""
    sky = SkyCoord(table["ra"][used], table["dec"][used], unit="deg")
    near = sky[:, None].separation(sky[None]) <= radius * u.arcsec
    while True:
        wider = (near.astype(int) @ near.astype(int)) > 0
        if (wider == near).all():
            return near
        near = wider


@pytest.mark.parametrize(
    ("place", "width"), [((150.0, 2.0), 0.03), ((0.0, -1.0), 0.03), ((9.0, 90), 0.015)]
)
@pytest.mark.parametrize("radius", [None, 6.0])
def test_no_chain_of_neighbours_leads_to_a_test_row(place, width, radius):
    rows = catalogue(np.random.default_rng(7), 300, place=place, width=width)
    if place[1] == 90:  # all around the pole
        rows.columns["ra"] = np.random.default_rng(8).uniform(0, 360, 300)
    keep = select(rows, options(neighbours="keep", neighbour_radius=1), 64, "label")
    used = np.flatnonzero(reasons(rows.columns, options()) == "")
    found = select(rows, options(neighbour_radius=radius), 64, "label")
    near = friends(rows.columns, used, radius or 64 * 0.168)
    splits = np.array(SPLITS, object)[rows.part][used]
    wanted = (near & (splits == "test")[None]).any(1) & (splits != "test")
    left = found.splits[used] == ""
    np.testing.assert_array_equal(left, wanted)
    assert found.left_out["neighbour of a test row"] == wanted.sum()
    assert 0 < wanted.sum() < (splits != "test").sum()
    groups = found.groups[used]
    np.testing.assert_array_equal(groups[:, None] == groups[None], near)
    assert (keep.splits != "").sum() > (found.splits != "").sum()


def test_calibration_rows_have_no_neighbour_in_training():
    rows = catalogue(np.random.default_rng(3), 600, width=0.1)
    found = select(rows, options(calibration=0.5), 64, "label")
    held = np.isin(found.splits.astype(str), ["calibration", "test"])
    free = np.isin(found.splits.astype(str), ["train", "validation"])
    assert not set(found.groups[held]) & set(found.groups[free])
    parts = [set(found.groups[found.splits == x]) for x in ("calibration", "test")]
    assert not parts[0] & parts[1]
    assert (found.splits == "calibration").sum() > 5


def test_missing_magnitudes_are_kept_where_sentinels_are():
    rows = catalogue(np.random.default_rng(3), 200, width=5)
    missing = np.isnan(rows.columns["cmodel_mag"]).any(1)
    fine = np.isfinite(rows.columns["redshift"]) & missing
    wanted = {"neighbours": "keep", "error_max": "none", "relative_error_max": None}
    wanted |= {"z_min": "none", "z_max": "none", "secure": False}
    found = select(rows, options(sentinels="keep", **wanted), 64, "label")
    assert fine.any() and (found.splits[fine] != "").any()


def test_spectroscopic_cuts_pass_over_the_photometric_rows_of_a_union():
    rows = catalogue(np.random.default_rng(5), survey="combined_z", width=20)
    error = rows.columns["specz_redshift_err"]
    error[::2] = np.nan
    chosen = options("combined_z", neighbours="keep")
    found = select(rows, chosen, 64, "label")
    assert (found.splits[::2] != "").sum() > 150
    bad = (error == 0) | (error > 0.015)
    assert (found.splits[bad] == "").all()


def test_what_options_need_comes_with_the_setting_that_does_without():
    assert needed_keys(options(), False) == {
        "cmodel_mag": "magnitude_min=none and magnitude_max=none",
        "ra": "neighbours=keep",
        "dec": "neighbours=keep",
    }
    needed = needed_keys(options("combined_z", secure=True), True)
    assert needed["ra"] == "neighbours=keep and match=id"
    assert needed["specz_flag_homogeneous"] == "secure=false"
    assert "relative_error_max=none" in needed["specz_redshift_err"]
