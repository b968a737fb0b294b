"""The `kphotoz` command: finds a subcommand, tells its errors in one line."""

import importlib
import signal
import sys
from typing import Any

import click

from kphotoz import __version__
from kphotoz.backend import silence
from kphotoz.errors import InputError

# Command -> module and one-line help. A module is imported only when its command runs,
# so that `kphotoz --help` needs no backend.
COMMANDS = {
    "fit": "Train a base model, or adapt one with a regime.",
    "compare": "Compare regimes over seeds and label fractions.",
    "predict": "Predict redshifts for files or surveys.",
    "evaluate": "Metrics with errors for any table of redshifts.",
    "shift": "Say whether a target differs from the source, and what follows.",
    "data": "List, describe, build and import surveys.",
    "adapter": "Show and merge adapter files.",
    "bench": "Time input and training steps on this machine.",
    "doctor": "Say what this installation can do.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Returns the names of the commands in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Returns the command, imported, or None."""
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"kphotoz_cli.{name}").command

    def format_commands(
        self, context: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Writes the commands from the table above, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kphotoz")
def group() -> None:
    """Fine-tune redshift networks from imperfect to exact labels and compare the ways.

    With no arguments `fit` and `compare` run on the embedded mock survey.
    """


def main() -> None:
    """Runs the command line; exit status 0 success, 1 told error, 2 wrong usage."""
    silence()
    signal.signal(signal.SIGTERM, _stop)
    try:
        group(prog_name="kphotoz")
    except InputError as error:
        _tell(error)
    except OSError as error:
        if error.filename is None:
            raise
        _tell(
            InputError(
                "Wanted: a path that can be read or written. Received: "
                f"{error.filename}: {error.strerror}. Mend it, or choose another."
            )
        )
    except MemoryError as error:
        _tell(
            InputError(
                f"Wanted: enough memory. Received: {error or 'none left'}. Take a "
                "smaller --batch-size, fewer --jobs, or a larger machine."
            )
        )


def _tell(error: InputError) -> None:
    click.echo(f"Error: {error}", err=True)
    sys.exit(1)


def _stop(number: int, _: Any) -> None:
    """Ends the command as SIGTERM asks, with what is half-written removed."""
    click.echo(
        "Stopped by SIGTERM. What was finished is kept: repeat the command, with "
        "--resume if it has that option.",
        err=True,
    )
    sys.exit(128 + number)
