"""What a network gives out for each object, and how far that lies from the source."""

import contextlib
import pathlib

import keras
import numpy as np

from kphotoz.data.stream import Stream
from kphotoz.errors import InputError
from kphotoz.files import atomic
from kphotoz.kernels.features import batches
from kphotoz.prediction import rows
from kphotoz.prediction.writers import open_writer
from kphotoz.shift.support import Support
from kphotoz.shift.views import Views

__all__ = ["predicted", "write_scores"]

_CHUNK = 512  # rows read at once; our choice
_SCORES = {"distance": "float64", "tail": "float64", "tail_hand_made": "float64"}


def predicted(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """Returns the redshifts (n,) that a network gives out for inputs (n, ...).

    Raises:
        InputError: it gives out something else.
    """
    if not len(inputs):
        return np.zeros(0)
    outputs = [
        np.asarray(model.predict_on_batch(batch), np.float64)
        for batch in batches(inputs, _CHUNK)
    ]
    if any(part.size != len(part) for part in outputs):
        raise InputError(
            "Wanted: a model with one redshift per object. Received: outputs of shape "
            f"{outputs[0].shape}."
        )
    return np.concatenate([part.reshape(-1) for part in outputs])


def write_scores(
    model: keras.Model,
    views: Views,
    supports: dict[str, Support],
    stream: Stream,
    path: pathlib.Path,
) -> None:
    """Writes a row per object: its prediction, its distance from the source."""
    hand_made = supports["hand-made"]
    kinds = rows.kinds([stream]) | _SCORES
    with atomic(path) as aside:
        writer = open_writer(aside, kinds, len(stream), {})
        with contextlib.closing(writer):
            for start, chunk, flags in stream.chunks(_CHUNK):
                use = flags == ""
                table = views.network("trained", chunk[use])
                values = {
                    "z_pred": predicted(model, chunk[use]),
                    "distance": supports["trained"].distance(table),
                    "tail": supports["trained"].tail(table),
                    "tail_hand_made": hand_made.tail(
                        views.physical("hand-made", views.hand_made(chunk[use]))
                    ),
                }
                columns = {name: np.full(len(chunk), np.nan) for name in values}
                for name, usable in values.items():
                    columns[name][use] = usable
                z_pred = columns.pop("z_pred").astype(np.float32)
                names = [name for name in kinds if name not in _SCORES]
                plain = rows.columns(stream, start, names, z_pred, flags)
                writer.write(plain | columns)
