import json

import numpy as np
import pytest
from click.testing import CliRunner

from kphotoz.files import hash_file
from kphotoz_cli.main import group

READING = [
    *("--bands=g,r,i", "--pixel-scale=0.2", "--key=image=stamps", "--key=id=name"),
    *("--key=redshift=zspec", "--photometry=unknown", "--splits=0.5,0.2,0.1,0.2"),
]


@pytest.fixture
def contents():
    """Returns a function from a run folder to the hash of every file but its times."""

    def hashes(folder):
        return {
            str(path.relative_to(folder)): hash_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in ("cost.json", ".lock")
        }

    return hashes


@pytest.fixture
def usage():
    """Returns a function that runs a command wrongly and returns what it was told."""

    def run(*arguments):
        result = CliRunner().invoke(group, [str(item) for item in arguments])
        assert result.exit_code == 2, result.output
        return result.output

    return run


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves the figures of a comparison out: they take longer than tiny trainings."""
    monkeypatch.setattr("kphotoz.report.write_figures", lambda *_: [])


@pytest.fixture(scope="session")
def surveys(make_sample, tmp_path_factory):
    """Options of two imported files: a target, and a source of the same bands."""
    folder = tmp_path_factory.mktemp("surveys")
    paths = []
    for name, count, seed in (("target", 60, 1), ("source", 60, 2)):
        magnitude = np.linspace(19, 21, count) + seed
        sample = make_sample(count, seed, tag=name)
        path = folder / f"{name}.npz"
        ids = np.asarray(sample.table["id"], str)
        columns = {"name": ids, "zspec": sample.table["redshift"]}
        np.savez(path, stamps=sample.inputs(), magnitude=magnitude, **columns)
        paths.append(path)
    data = [f"--data={paths[0]}", *READING]
    return {"data": data, "source": [f"--source={paths[1]}"], "paths": paths}


@pytest.fixture(scope="session")
def tiny():
    """Settings that make a job last a second."""
    model = {"photometry_units": [8], "filters": [4, 4], "image_units": 4, "crop": 16}
    model |= {"head_units": [4], "radii": [1.5, 3.0, 6.0]}
    settings = [f"model.{key}={json.dumps(value)}" for key, value in model.items()]
    settings += ["training.epochs=2", "training.batch_size=16", "evaluation.draws=100"]
    settings += ["training.minimum_steps=0"]
    return [f"--set={setting}" for setting in settings]
