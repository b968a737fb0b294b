import keras
import numpy as np
import pytest
import yaml

from kphotoz.errors import InputError
from kphotoz.files import hash_file
from kphotoz.training.run_folder import RunFolder
from kphotoz.training.settings import Training


def test_an_existing_folder_is_refused_without_resume(tmp_path):
    (tmp_path / "old.txt").write_text("x")
    with pytest.raises(InputError, match="--resume"):
        RunFolder(tmp_path).claim("seeds: 1\n", resume=False)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "run"
    path.write_text("x")
    with pytest.raises(InputError, match="which exists"):
        RunFolder(path).claim("seeds: 1\n", resume=False)


def test_resume_with_another_recipe_names_the_first_difference(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim("title: a\nseeds: 1\n", resume=False)
    (tmp_path / "run" / "jobs").mkdir()
    folder.claim("title: a\nseeds: 1\n", resume=True)
    with pytest.raises(InputError, match="'seeds: 1' against 'seeds: 2'"):
        folder.claim("title: a\nseeds: 2\n", resume=True)
    (tmp_path / "run" / "recipe.yaml").write_bytes(b"title: \xff\xfe\n")
    with pytest.raises(InputError, match="against 'title: a'"):
        folder.claim("title: a\nseeds: 1\n", resume=True)


def test_a_run_that_never_began_does_not_occupy_its_folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim("seeds: 1\n", resume=False)
    folder.claim("seeds: 2\n", resume=False)
    text = (tmp_path / "run" / "recipe.yaml").read_text()
    assert text.startswith("# Written by kphotoz") and text.endswith("\nseeds: 2\n")
    assert yaml.safe_load(text) == {"seeds": 2}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("hand", ["whole", "edited"])
def test_a_recipe_that_a_user_wrote_is_not_replaced(tmp_path, hand, resume):
    path, mine = tmp_path / "recipe.yaml", "# by hand\nseeds: 3\n"
    if hand == "edited":  # a copy of a recipe of ours, with a number changed
        RunFolder(tmp_path).claim("seeds: 1\n", resume=False)
        mine = path.read_text().replace("seeds: 1", "seeds: 3")
    path.write_text(mine)
    with pytest.raises(InputError, match="recipe.yaml of your own"):
        RunFolder(tmp_path).claim("seeds: 5\n", resume)
    assert path.read_text() == mine


def test_a_run_begun_before_recipes_had_a_mark_is_resumed(tmp_path):
    (tmp_path / "recipe.yaml").write_text("seeds: 1\n")
    RunFolder(tmp_path).claim("seeds: 1\n", resume=False)
    (tmp_path / "recipe.yaml").write_text("seeds: 1\n")
    (tmp_path / "jobs").mkdir()
    RunFolder(tmp_path).claim("seeds: 1\n", resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_kill_while_the_recipe_is_first_written_leaves_the_place_free(
    tmp_path, resume
):
    (tmp_path / ".recipe.4711.partial.yaml").write_text("seeds")
    RunFolder(tmp_path).claim("seeds: 1\n", resume)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    (tmp_path / ".thesis.4711.partial.tex").write_text("x")
    with pytest.raises(InputError, match="--resume"):
        RunFolder(tmp_path).claim("seeds: 1\n", resume=False)
    assert (tmp_path / ".thesis.4711.partial.tex").exists()


def test_columns_of_the_history_have_one_order(tmp_path):
    row = {"epoch": 1, "score": 0.5, "learning_rate": 0.1, "loss": 2.0}
    for name, columns in (("a", row), ("b", dict(sorted(row.items())))):
        (tmp_path / name).mkdir()
        RunFolder(tmp_path / name).save_history([columns])
    first, second = (tmp_path / x / "history.csv" for x in "ab")
    assert first.read_text() == second.read_text()
    assert first.read_text().startswith("epoch,")


def test_a_foreign_folder_is_not_resumed(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="no recipe.yaml"):
        RunFolder(tmp_path).claim("seeds: 1\n", resume=True)


def test_an_unwritable_place_is_told_in_one_line():
    with pytest.raises(InputError, match="a place to write"):
        RunFolder("/proc/kphotoz").claim("seeds: 1\n", resume=False)


def test_equal_models_are_saved_in_equal_bytes_and_load(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    hashes = []
    for name in ("a", "b"):
        folder = RunFolder(tmp_path / name)
        folder.save_model(model)
        hashes.append(hash_file(folder.path / "model.keras"))
    assert hashes[0] == hashes[1]
    x = np.ones((2, 3), "float32")
    again = keras.saving.load_model(tmp_path / "a" / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["model.keras"]


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b"\xff", b'{"a": ' + b"[" * 9000, b'{"settings": 3}']
)
def test_damaged_metrics_are_told_with_the_folder_to_remove(tmp_path, content):
    folder = RunFolder(tmp_path / "run")
    folder.save_json("metrics", {"settings": Training(epochs=7).model_dump()})
    assert folder.settings().epochs == 7
    (tmp_path / "run" / "metrics.json").write_bytes(content)
    with pytest.raises(InputError, match="Remove .*run and repeat with --resume"):
        folder.settings()


HERE = {"backend": "jax", "precision": "float32", "threads": 2, "data": "a" * 64}


def test_the_beginning_stays_on_record_and_what_differs_later_is_told(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.settle(HERE) == ""
    assert folder.settle(HERE) == ""
    told = folder.settle(HERE | {"threads": 8})
    assert "other threads than it was begun with" in told
    record = folder.read_json("environment")
    assert record == HERE | {"resumed_with": {"threads": 8}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backend": "tensorflow"}, "Add --backend jax"),
        ({"precision": "mixed_bfloat16"}, "Add --precision float32"),
        ({"data": "b" * 64}, "surveys of other ids, labels or splits"),
    ],
)
def test_what_would_mix_two_results_is_refused(tmp_path, change, words):
    folder = RunFolder(tmp_path)
    folder.settle(HERE)
    with pytest.raises(InputError, match=words):
        folder.settle(HERE | change)
    assert folder.read_json("environment") == HERE
