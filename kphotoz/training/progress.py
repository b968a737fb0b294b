"""Progress of long work: a bar on a terminal, plain lines in a log."""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["Reporter"]


class Reporter:
    """Tells what is being done, on standard error.

    Args:
        quiet: bool. Say nothing. [default: False]
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._started = time.monotonic()

    def line(self, text: str) -> None:
        """Prints one line with the seconds since the start."""
        if self.quiet:
            return
        stamped = f"[{time.monotonic() - self._started:6.0f} s] {text}"
        if self._bar is not None:
            self._bar.console.print(stamped, markup=False, highlight=False)
        else:
            print(stamped, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def bar(self, total: int, description: str) -> Iterator["Step"]:
        """Yields a counter; draws it where standard error is a terminal."""
        if self.quiet or not self._console.is_terminal:
            yield Step(None, None)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            outer, self._bar = self._bar, bar
            yield Step(bar, bar.add_task(description, total=total))
            self._bar = outer


class Step:
    """A counter of finished pieces of work."""

    def __init__(self, bar: Progress | None, task: TaskID | None) -> None:
        self._bar, self._task = bar, task

    def advance(self, count: int = 1) -> None:
        """Counts more finished pieces."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, count)
