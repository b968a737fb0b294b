"""Compares the numbers of a command of this checkout with those of another commit.

Aim: a change of structure changes no result. Both run on this machine, with the
packages of this Python, and every column of comparison.csv, which holds no time and no
memory, must be equal to the last bit. The last line is JSON.

    python benchmarks/same_results.py e1b6908 -- compare --quick
    python benchmarks/same_results.py e1b6908 -- compare tabular_transfer \
        --profile mock,quick --jobs 2
    python benchmarks/same_results.py e1b6908 --backend jax -- compare --quick
"""

import argparse
import contextlib
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = {"kphotoz": "kphotoz", "kphotoz_cli": "cli", "kphotoz_datasets": "datasets"}
# {column of the other commit: what it is called here}
RENAMED: dict[str, str] = {}
START = "from kphotoz_cli.main import main; main()"


@contextlib.contextmanager
def packages(source: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a folder from which the packages of a checkout are imported."""
    with tempfile.TemporaryDirectory() as folder:
        for name, path in PACKAGES.items():
            (pathlib.Path(folder) / name).symlink_to(source / path)
        yield pathlib.Path(folder)


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[pathlib.Path]:
    """Gives a folder with the files of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        git = ("git", "-C", ROOT, "worktree")
        subprocess.run([*git, "add", "-q", "--detach", folder, commit], check=True)
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def run(source: pathlib.Path, command: list[str], out: pathlib.Path) -> None:
    """Runs a command of a checkout, with data sets of its own."""
    with packages(source) as folder, (out.parent / "log").open("w") as log:
        own = {"TFDS_DATA_DIR": str(out.parent / "tfds"), "KPHOTOZ_CACHE": "off"}
        environment = os.environ | own | {"PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", START, *command, "--out", out],
            env=environment,
            cwd=out.parent,  # not a checkout, whose packages would come first
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        raise SystemExit((out.parent / "log").read_text()[-2000:])


def rows(out: pathlib.Path) -> list[dict[str, str]]:
    """Returns the rows of a run's comparison.csv."""
    with (out / "comparison.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def differences(old: list[dict], new: list[dict]) -> list[str]:
    """Returns what is not equal in two tables, one line each."""
    if len(old) != len(new):
        return [f"{len(old)} rows and {len(new)} rows"]
    new = [{name: row.get(RENAMED.get(name, name)) for name in old[0]} for row in new]
    return [
        f"row {row}, {name}: {before[name]!r} and {after[name]!r}"
        for row, (before, after) in enumerate(zip(old, new, strict=True))
        for name in before
        if before[name] != after[name]
    ]


def main() -> None:
    """Reads the command line and prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", help="the other one")
    parser.add_argument("--backend", choices=("tensorflow", "jax"))
    parser.add_argument("command", nargs="+", help="of kphotoz, without --out")
    options = parser.parse_args()
    if options.backend:
        os.environ["KERAS_BACKEND"] = options.backend
    with tempfile.TemporaryDirectory() as folder, checkout(options.commit) as other:
        tables = []
        for name, source in (("old", other), ("new", ROOT)):
            out = pathlib.Path(folder) / name / "run"
            out.parent.mkdir()
            run(source, options.command, out)
            tables.append(rows(out))
    found = differences(*tables)
    print("\n".join(found[:20]))
    told = {"command": " ".join(options.command), "commit": options.commit}
    told |= {"backend": os.environ.get("KERAS_BACKEND", "tensorflow")}
    told |= {"rows": len(tables[0]), "columns": len(tables[0][0])}
    print(json.dumps(told | {"differences": len(found)}))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
