"""What the wheel holds, and that it runs outside the checkout."""

import os
import pathlib
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.large


def run(*command, **arguments):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **arguments
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # A copy, so that building leaves nothing in the checkout.
    copy = tmp_path_factory.mktemp("source") / "kphotoz"
    run("git", "clone", "--quiet", ROOT, copy)
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, copy
    )
    return next(folder.glob("*.whl"))


def test_wheel_holds_every_module_and_the_files_beside_the_surveys(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = run("git", "ls-files", cwd=ROOT).splitlines()
    renamed = {
        "cli": "kphotoz_cli",
        "datasets": "kphotoz_datasets",
        "kphotoz": "kphotoz",
    }
    kept = (
        ".py",
        ".md",
        ".bib",
        ".txt",
        ".tsv",
        ".yaml",
        ".html",
        ".css",
        ".npz",
        ".dat",
        ".typed",
    )
    wanted = set()
    for path in map(pathlib.PurePosixPath, tracked):
        head = path.parts[0]
        if head in renamed and path.suffix in kept and "dummy_data" not in path.parts:
            wanted.add(str(pathlib.PurePosixPath(renamed[head], *path.parts[1:])))
    assert wanted <= names, sorted(wanted - names)
    assert not [name for name in names if "dummy_data" in name]
    assert not [name for name in names if name.startswith(("cli/", "datasets/"))]


def test_installed_wheel_runs_outside_the_checkout(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=True, system_site_packages=False)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    # The dependencies of this environment, less the editable project itself.
    own = pathlib.Path(pytest.__file__).parents[1]
    (pathlib.Path(site) / "dependencies.pth").write_text(f"{own}\n")
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path / "tfds")}
    where = run(
        python, "-c", "import kphotoz; print(kphotoz.__file__)", cwd=tmp_path
    ).strip()
    assert where.startswith(str(tmp_path))
    kphotoz = tmp_path / "env" / "bin" / "kphotoz"
    arguments = {"cwd": tmp_path, "env": environment}
    assert "compare" in run(kphotoz, "--help", **arguments)
    answer = run(kphotoz, "compare", "--quick", "--seeds", "1", **arguments)
    assert answer.startswith("On the deployment sample")
    assert (tmp_path / "runs/compare-mock_hsc/report.html").exists()
