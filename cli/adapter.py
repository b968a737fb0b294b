"""`kphotoz adapter`: adapters as files."""

import json
import pathlib

import click

from kphotoz.errors import InputError
from kphotoz_cli import options


@click.group()
def command() -> None:
    """Show and merge adapter files."""


@command.command()
@click.argument("file", type=click.Path(path_type=pathlib.Path))
@options.as_json
@options.backend
def show(file: pathlib.Path, as_json: bool) -> None:
    """Show what an adapter file holds; its base is not needed."""
    from kphotoz.adapters import file_format

    header, tensors = file_format.read(file)
    described = header.model_dump()
    described["bytes"] = file.stat().st_size
    for entry in described["entries"]:
        trained = ("a", "b", *(["magnitude"] if entry["dora"] else []))
        arrays = [tensors[f"lora/{entry['path']}/{name}"] for name in trained]
        entry["parameters"] = sum(int(array.size) for array in arrays)
    described["parameters"] = sum(x["parameters"] for x in described["entries"])
    if as_json:
        click.echo(json.dumps(described, indent=1, sort_keys=True))
    else:
        _print(described)


def _print(described: dict) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    described["targets"] = described["targets"] or "all convolutions and linear layers"
    for key in ("targets", "dropout", "batch_norm", "parameters", "bytes"):
        console.print(f"{key:<12}{described[key]}", highlight=False, markup=False)
    base = f"{'base':<12}{described['base_hash']}"
    console.print(base, highlight=False, markup=False)
    for key in ("normalisations", "head"):
        paths = ", ".join(part["path"] for part in described[key]) or "none"
        console.print(f"{key:<16}{paths}", highlight=False, markup=False)
    versions = f"kphotoz {described['kphotoz']}, keras {described['keras']}"
    console.print(f"{'made by':<12}{versions}", highlight=False, markup=False)
    table = Table()
    table.add_column("path", overflow="fold")
    for heading in ("kind", "kernel", "rank", "alpha", "parameters", "hash"):
        table.add_column(heading)
    for entry in described["entries"]:
        shape = "×".join(map(str, entry["shape"]))
        numbers = [f"{entry['rank']}", f"{entry['alpha']:g}"]
        numbers.append(f"{entry['parameters']:,}")
        texts = (entry["path"], entry["kind"], entry["kernel_hash"][:8])
        path, kind, kernel = map(escape, texts)
        table.add_row(path, kind, shape, *numbers, kernel)
    console.print(table)


@command.command()
@click.argument("adapter", type=click.Path(path_type=pathlib.Path))
@click.option(
    "--base",
    required=True,
    type=click.Path(path_type=pathlib.Path),
    help="The model the adapter was made for: a .keras file or a run folder.",
)
@options.out("merged.keras")
@options.backend
def merge(adapter: pathlib.Path, base: pathlib.Path, out: pathlib.Path) -> None:
    """Write base and adapter as one plain model, which needs no adapter to load."""
    if out.suffix != ".keras":
        raise InputError(
            f"Wanted: --out ending in .keras. Received: {out}. Keras reads no other."
        )
    from kphotoz import adapters, models
    from kphotoz.files import atomic, check_output

    base = base / "model.keras" if base.is_dir() else base
    check_output(out, base, adapter)
    model = models.load(base)
    merged = adapters.merge(adapters.load(model, adapter))
    with atomic(out) as aside:
        merged.save(aside)
    click.echo(f"Wrote {out}.")
