"""`kphotoz doctor`: what this installation can do, and what is missing."""

import importlib.metadata
import importlib.util
import json
import os
import shutil

import click

from kphotoz_cli import options

# What each optional package is for.
_OPTIONAL = {
    "jax": "the JAX backend: pip install 'kphotoz[jax]'",
    "openvino": "faster `kphotoz predict`: pip install 'kphotoz[openvino]'",
    "pytest": "the tests: pip install 'kphotoz[test]'",
}
_NEEDED_GB = 5  # the default comparison's data set and runs, with room to spare


@click.command(name="doctor")
@options.backend
@options.device
@options.distribution
@options.as_json
def command(as_json: bool) -> None:
    """Say what this installation can do and what is missing."""
    facts = _facts()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        if key != "problems":
            click.echo(f"{key:>12}  {value}")
    for problem in facts["problems"]:
        click.echo(f"     problem  {problem}")
    click.echo("Ready." if not facts["problems"] else "Ready, but see above.")


def _facts() -> dict:
    from kphotoz import backend
    from kphotoz.comparison import base_cache
    from kphotoz.training import environment

    kept = base_cache.folder()
    facts = environment.describe()
    fast = "multiplies" if backend.has_bfloat16() else "does not multiply"
    folder = os.environ.get("TFDS_DATA_DIR") or os.path.expanduser("~")
    folder = os.path.abspath(folder)  # of a relative one no parent is the last
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free / 1e9
    problems = [
        f"{name} is not installed; it is for {use}"
        for name, use in _OPTIONAL.items()
        if importlib.util.find_spec(name) is None
    ]
    if free < _NEEDED_GB:
        problems.append(f"{free:.1f} GB free in {folder}; wanted {_NEEDED_GB} GB")
    if not os.access(folder, os.W_OK):
        problems.append(f"{folder} cannot be written to; set TFDS_DATA_DIR")
    return {
        "kphotoz": facts["kphotoz"],
        "python": facts["python"],
        "backend": facts["backend"],
        "devices": ", ".join(facts["devices"]),
        "training": f"on {facts['training_devices']} of {len(facts['devices'])} "
        f"devices, in {facts['processes']} processes",
        "precision": f"{facts['precision']} (the device {fast} bfloat16 fast)",
        "jit": "on" if facts["jit"] else "off",
        "onednn": "on" if facts["onednn"] == "1" else "off",
        "cores": facts["cores"],
        "threads": facts["threads"],
        "base models": f"kept in {kept}" if kept else "not kept",
        "data folder": f"{folder} ({free:.0f} GB free)",
        **{name: version for name, version in facts["versions"].items() if version},
        "problems": problems,
    }
