"""Runs what the documents show: every Python block, every option of every command."""

import os
import pathlib
import re
import shlex

import click
import keras
import numpy as np
import pytest

from kphotoz import adapters, metrics
from kphotoz.files_in.specs import make_spec
from kphotoz.training.run_folder import RunFolder
from kphotoz_cli.main import group

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def examples():
    """Returns the Python blocks of each page, which build on one another."""
    for page in PAGES:
        found = [
            text for kind, text in BLOCK.findall(page.read_text()) if kind == "python"
        ]
        if found:
            yield pytest.param(found, id=page.name)


def commands():
    found = []
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text()):
            if language not in ("", "bash"):
                continue
            lines = text.replace("\\\n", " ").splitlines()
            found += [
                pytest.param(line, id=f"{page.name}: {line[:50]}")
                for line in lines
                if line.startswith("kphotoz ")
            ]
    return found


def write_run(folder):
    """Writes what the quickstart has trained: runs/base, runs/lora; and new.npz."""
    inputs = keras.Input((16, 16, 5))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    base = keras.Model(inputs, keras.layers.Dense(1, name="redshift")(x))
    for name in ("base", "lora"):
        (folder / "runs" / name).mkdir(parents=True)
    base.save(folder / "runs" / "base" / "model.keras")
    model = adapters.apply(base, rank=1, allow_full_rank=True)
    RunFolder(folder / "runs" / "lora").save_adapter(model, folder / "runs" / "base")
    images = np.random.default_rng(0).normal(size=(9, 5, 16, 16)).astype("float32")
    np.savez(folder / "new.npz", images=images)


@pytest.mark.parametrize("codes", examples())
def test_python_of_a_page_runs_from_top_to_bottom(codes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path)
    names = {"__name__": "document"}
    for number, code in enumerate(codes):
        exec(compile(code, f"block {number}", "exec"), names)


def test_description_of_a_survey_is_read(tmp_path):
    (text,) = (
        text
        for kind, text in BLOCK.findall((ROOT / "docs" / "own_data.md").read_text())
        if kind == "yaml"
    )
    (tmp_path / "survey.yaml").write_text(text)
    spec = make_spec(tmp_path / "survey.yaml", name="stamps")
    assert spec.file == tmp_path / "stamps" and spec.title == "stamps"
    assert spec.keys["image"] == "{id}-{band}.fits"
    spec.check_photometry()


def named_tests():
    found = {
        match
        for page in PAGES
        for match in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text())
    }
    return sorted(found)


def test_documents_name_tests():
    assert len(named_tests()) > 40


@pytest.mark.parametrize(("path", "name"), named_tests())
def test_a_test_that_a_document_names_is_there(path, name):
    text = (ROOT / path).read_text()
    assert not name or f"def {name}(" in text


@pytest.mark.parametrize("line", commands())
def test_command_has_the_options_that_the_document_shows(line):
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = group
    context = click.Context(group, info_name="kphotoz")
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
        context = click.Context(command, parent=context)
    _, left, _ = command.make_parser(context).parse_args(words)
    assert left == []


def test_links_between_documents_lead_somewhere():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target and not os.path.exists(page.parent / target):
                missing.append(f"{page.name} -> {target}")
    assert missing == []


def test_every_metric_is_told_with_its_definition():
    page = (ROOT / "docs" / "evaluate.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page.split("## Metrics")[1], re.M)
    told = {name: text.replace("\\|", "|") for name, text in rows}
    assert told.items() >= metrics.DEFINITIONS.items()
