"""`kphotoz shift` on tables whose difference is known."""

import json

import keras
import numpy as np
import pytest
from astropy.table import Table

from kphotoz import models
from kphotoz.errors import InputError
from kphotoz.features import photometry
from kphotoz.tables import read_table

BANDS = ("g", "r", "i")
READING = [
    *("--magnitudes=g,r,i", "--magnitude-errors=eg,er,ei", "--bands=g,r,i"),
    *("--key=redshift=zspec", "--key=id=name"),
]


def galaxies(seed, rows, *, fainter=0.0, redder=0.0, z_max=0.6):
    """Returns a table whose colour follows redshift, noise 0.05 mag."""
    generator = np.random.default_rng(seed)
    z = generator.uniform(0.1, z_max, rows)
    r = generator.normal(20.0, 0.7, rows) + fainter
    true = np.stack([r + 0.4 + 2 * z + redder, r, r - 0.3 - z], axis=1)
    error = np.full((rows, 3), 0.05)
    seen = true + generator.normal(0, 0.05, true.shape)
    columns = {"name": [f"{seed}-{row}" for row in range(rows)], "zspec": z}
    columns |= dict(zip(BANDS, seen.T, strict=True))
    columns |= {f"e{band}": error[:, k] for k, band in enumerate(BANDS)}
    return Table(columns)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns a model file that reads redshift off the colours, exactly trained."""
    table = galaxies(0, 2000)
    magnitudes = np.stack([table[band] for band in BANDS], axis=1)
    errors = np.stack([table[f"e{band}"] for band in BANDS], axis=1)
    inputs = photometry.from_magnitudes(magnitudes, errors)
    model = models.build_photoz(
        {"name": "catalog_mlp"},
        inputs,
        table["zspec"],
        bands=BANDS,
        pixel_scale=None,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    model.fit(inputs, np.array(table["zspec"]), epochs=5, batch_size=64, verbose=0)
    path = tmp_path_factory.mktemp("run") / "model.keras"
    model.save(path)
    return path


@pytest.fixture
def shifted(kphotoz, run, tmp_path):
    """Returns a function from two tables to what the command says of them."""

    def compare(source, target, *more):
        names = [tmp_path / "source.csv", tmp_path / "target.csv"]
        for path, table in zip(names, (source, target), strict=True):
            table.write(path, overwrite=True)
        return json.loads(
            kphotoz(
                *("shift", run, "--source", names[0], "--target", names[1]),
                *("--out", tmp_path / "out", "--json", "--permutations=99"),
                *("--rows=300", *READING, *more),
            ),
            parse_constant=pytest.fail,  # NaN is no JSON
        )

    return compare


def test_another_draw_of_one_population_is_no_shift(shifted):
    found = shifted(galaxies(1, 400), galaxies(2, 400))
    assert found["kinds"] == []
    assert found["regime"] == "zero_shot"
    assert "use the run as it is" in found["sentences"][-1]
    assert all(test["outside"] < 0.05 for test in found["tests"].values())


def test_a_table_that_it_reads_is_not_replaced(kphotoz, run, tmp_path):
    table = tmp_path / "scores.parquet"
    galaxies(1, 60).write(table)
    before = table.read_bytes()
    with pytest.raises(InputError, match="outside of the input"):
        kphotoz(
            *("shift", run, "--source", table, "--target", table),
            *("--out", tmp_path, *READING),
        )
    assert table.read_bytes() == before


def test_galaxies_that_the_source_lacks_are_to_be_trained_on_from_scratch(
    shifted, tmp_path
):
    found = shifted(galaxies(1, 400), galaxies(2, 350, fainter=4.0))
    assert "no overlap" in found["kinds"]
    assert found["regime"] == "from_scratch"
    assert found["tests"]["hand-made"]["auc"] > 0.99
    assert "train from scratch" in found["sentences"][-1]
    written = json.loads((tmp_path / "out" / "shift.json").read_text())
    assert written["kinds"] == found["kinds"]
    scores = read_table(tmp_path / "out" / "scores.parquet")
    assert list(scores["row"]) == list(range(350))
    # A network may take unlike objects for like ones: plain magnitudes do not.
    assert (scores["tail_hand_made"] < 0.01).mean() > 0.5
    assert ((scores["tail"] > 0) & (scores["tail"] <= 1)).all()
    assert (tmp_path / "out" / "components.png").read_bytes()[1:4] == b"PNG"
    assert not list((tmp_path / "out").glob("*.tmp*"))


def test_a_zero_point_error_is_named_by_its_band_and_asks_for_adaptation(shifted):
    found = shifted(galaxies(1, 400), galaxies(2, 400, redder=0.15))
    largest = max(found["drift"], key=lambda one: abs(one["median"]))
    assert largest["name"] in ("g", "g-r")
    # The colour moves by what was added; medians of 300 scatter by about 0.04.
    by_name = {one["name"]: one["median"] for one in found["drift"]}
    assert by_name["g-r"] == pytest.approx(0.15, abs=0.1)
    assert "concept shift" in found["kinds"]
    assert found["labels"]["target"] == 400  # not of the 300 that are tested alone
    assert found["regime"] == "lora"
    # Redshift follows g - r at a slope of 2 and r - i at 1: g alone must move it.
    assert found["accuracy"]["change"]["bias_median"] > 0.01


def test_other_redshifts_of_like_galaxies_are_a_label_shift(shifted):
    found = shifted(galaxies(1, 600), galaxies(2, 600, z_max=0.3))
    assert "label shift" in found["kinds"]
    estimated = found["labels"]["estimated"]
    edges, shares = np.array(estimated["edges"]), np.array(estimated["target"])
    assert shares[edges[1:] < 0.36].sum() > 0.8  # from predictions alone; truth 1


@pytest.mark.large
def test_redshifts_that_the_source_lacks_are_no_overlap(shifted):
    high = galaxies(2, 400)
    high["zspec"] += 2.0
    found = shifted(galaxies(1, 400), high)
    assert found["labels"]["outside"] == 1.0
    assert "no overlap" in found["kinds"] and found["regime"] == "from_scratch"
    assert "100% of the target's redshifts" in " ".join(found["sentences"])


def test_a_folder_that_cannot_be_written_is_told_in_one_line(kphotoz, run, tmp_path):
    (tmp_path / "taken").write_text("a file of the user's")
    galaxies(1, 50).write(tmp_path / "a.csv")
    command = ["shift", run, "--source", tmp_path / "a.csv", "--target"]
    command += [tmp_path / "a.csv", *READING, "--out", tmp_path / "taken"]
    with pytest.raises(InputError, match="taken"):
        kphotoz(*command)
    assert (tmp_path / "taken").read_text() == "a file of the user's"


def test_unlabelled_targets_get_an_expectation_and_a_distance(shifted):
    target = galaxies(2, 400, redder=0.4)
    target["zspec"] = np.nan
    found = shifted(galaxies(1, 400), target)
    assert found["accuracy"]["measured"]["nmad"] is None
    assert found["labels"]["target"] == 0
    assert "needs labels" in found["sentences"][-1]


@pytest.mark.large
def test_the_seed_decides(shifted):
    pair = galaxies(1, 60), galaxies(2, 50)
    assert shifted(*pair) == shifted(*pair)


@pytest.mark.large
def test_redshifts_that_stand_for_none_are_no_labels(shifted):
    target = galaxies(2, 400)
    target["zspec"][:300], target["zspec"][300] = -99.0, -0.5
    found = shifted(galaxies(1, 400), target)
    assert found["labels"]["target"] == 99
    # Not one redshift of -99 among those that are compared.
    assert found["labels"]["outside"] < 0.1
    assert "no overlap" not in found["kinds"]


def test_the_fewest_relabellings_are_those_that_can_find_a_difference(shifted, usage):
    found = shifted(galaxies(1, 60), galaxies(2, 60, redder=3.0), "--permutations=40")
    assert "covariate shift" in found["kinds"]
    told = usage("shift", "run", "--source=a", "--target=b", "--permutations=39")
    assert "x>=40" in told


@pytest.mark.parametrize("rows", [1, 19])
def test_samples_too_small_are_refused(shifted, rows, tmp_path):
    with pytest.raises(InputError, match=f"20 usable objects.*{rows} of {rows} rows"):
        shifted(galaxies(1, 100), galaxies(2, rows))
    assert not (tmp_path / "out").exists()


def test_a_layer_that_is_not_there_is_refused_with_the_nearest(shifted, tmp_path):
    with pytest.raises(InputError, match="Unknown layer.*photometry_dense"):
        shifted(galaxies(1, 50), galaxies(2, 50), "--layer=photometry_dens_0")
    assert not (tmp_path / "out").exists()


@pytest.mark.large
def test_another_layer_can_be_asked_for(shifted):
    found = shifted(galaxies(1, 50), galaxies(2, 50), "--layer=magnitudes_quantiles")
    assert found["layer"] == "magnitudes_quantiles"


def test_images_for_a_catalogue_network_are_refused(kphotoz, run, tmp_path):
    np.savez(tmp_path / "a.npz", stamps=np.zeros((30, 8, 8, 3), "float32"))
    with pytest.raises(InputError, match="Wanted"):
        kphotoz(
            *("shift", run, "--source", tmp_path / "a.npz", "--target"),
            *(tmp_path / "a.npz", "--key=image=stamps", "--bands=g,r,i"),
            *("--pixel-scale=0.2", "--out", tmp_path / "out"),
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.large
def test_words_and_tables_are_printed(kphotoz, run, tmp_path):
    galaxies(1, 50).write(tmp_path / "a.csv")
    printed = kphotoz(
        *("shift", run, "--source", tmp_path / "a.csv", "--target", tmp_path / "a.csv"),
        *("--out", tmp_path / "out", "--permutations=40", *READING),
    )
    assert "Suggested regime: zero_shot" in printed
    assert "50 of 50 objects of the target are objects of the source" in printed
    assert "trained" in printed and "hand-made" in printed and "g-r" in printed
