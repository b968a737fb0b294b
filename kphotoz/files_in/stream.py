"""Rows of a user's file, or of a survey by name, in chunks."""

import functools
import os
import pathlib
import stat
import sys

from kphotoz.data.stream import POSITIONS, Chunks, Stream, SurveyStream, changed
from kphotoz.files_in.readers import open_survey_file
from kphotoz.files_in.readers.catalog_file import tell_implied
from kphotoz.files_in.survey_spec import SurveySpec

__all__ = ["FileStream", "open_stream"]


class FileStream(Stream):
    """Rows of the file that a spec describes."""

    def __init__(self, spec: SurveySpec) -> None:
        self._opened = _state(spec.file)
        self._file = open_survey_file(spec)
        # A name that is no UTF-8 could not be written into a table.
        self.name = os.fsencode(spec.file).decode("utf-8", "backslashreplace")
        self.kind = self._file.kind
        self.bands, self.input_shape = self._file.bands, self._file.input_shape
        self.pixel_scale = self._file.pixel_scale
        self.zero_point = self._file.zero_point
        try:
            table = self._file.labels(tell=functools.partial(print, file=sys.stderr))
        except BaseException:
            self.close()
            raise
        self.table = {key: rows for key, rows in table.items() if key not in POSITIONS}
        tell_implied(self._file)

    def chunks(self, size: int, start: int = 0) -> Chunks:
        return self._file.chunks(size, start)

    def digest(self) -> str:
        return self._file.spec.digest()

    def check_unchanged(self) -> None:
        if _state(self._file.spec.file) != self._opened:
            raise changed(self.name, "its size or date is another")

    def close(self) -> None:
        self._file.close()


def _state(path: pathlib.Path) -> tuple[int, ...] | None:
    """Returns what tells a changed file; None for a folder, where others may write."""
    try:
        status = path.stat()
    except OSError:
        return ()
    if not stat.S_ISREG(status.st_mode):
        return None
    # No inode: some network file systems give a file another one now and then.
    return status.st_size, status.st_mtime_ns


def open_stream(source: SurveySpec | Stream | str) -> Stream:
    """Returns the rows of a file or a survey.

    Args:
        source: SurveySpec, or a survey's name, "builder/config" or
            "builder/config:split", without a split all of them, training first; or a
            Stream of one's own, which is returned.

    Raises:
        InputError: no such survey, or a file that cannot be used.
    """
    if isinstance(source, SurveySpec):
        return FileStream(source)
    if isinstance(source, Stream):
        return source
    return SurveyStream(source)
