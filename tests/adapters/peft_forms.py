"""What PEFT computes on layers of many forms, frozen in `peft_forms.npz`.

    python tests/adapters/write_peft_forms.py

wrote that file, with a Python that has PyTorch and PEFT (peft 0.21.2, torch 2.14.1, on
a CPU). It holds for each form the factors in PEFT's shapes and PEFT's output, images
channels-last; the output is empty where PEFT fails. All that goes in is drawn from
small fractions of two, by `drawn`, so that every sum is exact.
"""

import dataclasses
import pathlib
import zlib

import numpy as np

FILE = pathlib.Path(__file__).with_suffix(".npz")
ALPHA = 3


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution of both libraries.

    Args:
        shape: (*space, channels) of an image.
        filters, window, strides, dilation, groups: as in Keras.
        padding: "same", "valid" or "causal"; an int is PyTorch's own padding, and
            "own" the same as "same", by a layer before.
        rank: PEFT's.
        blocks: the A of PEFT is that of one group, repeated on each group's channels.
        rslora: bool.
    """

    shape: tuple[int, ...]
    filters: int
    window: tuple[int, ...]
    strides: int = 1
    dilation: tuple[int, ...] | int = 1
    groups: int = 1
    padding: str | int = "valid"
    rank: int = 2
    blocks: bool = False
    rslora: bool = False


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear layer: "dense", "query", "output" or "flatten"."""

    kind: str
    shape: tuple[int, ...]
    outputs: int
    rank: int = 2
    rslora: bool = False
    stored_transposed: bool = False  # a Conv1D of transformers, with fan_in_fan_out


ATTENTION = (5, 6)  # steps, features; two heads of width 3
PROJECTIONS = ("query", "key", "value", "attention_output")

SAME = {
    "dense": Linear("dense", (5,), 3),
    "dense_steps": Linear("dense", (4, 5), 3, rslora=True),
    "dense_wide_rank": Linear("dense", (5,), 3, rank=4),
    "dense_transposed": Linear("dense", (5,), 4, stored_transposed=True),
    "query": Linear("query", (4, 5), 6),
    "output": Linear("output", (4, 2, 3), 5),
    "flatten": Linear("flatten", (3, 2, 4), 5),
    "conv1d": Conv((8, 3), 4, (3,)),
    "conv1d_causal": Conv((8, 3), 4, (3,), padding="causal"),
    "conv1d_strided": Conv((9, 3), 4, (2,), strides=2, rslora=True),
    "conv1d_one": Conv((8, 3), 4, (1,), dilation=(3,)),
    "conv2d_same": Conv((5, 6, 3), 4, (3, 2), padding="same"),
    "conv2d_padded": Conv((6, 5, 3), 4, (3, 3), strides=2, padding=1),
    "conv2d_strided_same": Conv((6, 5, 3), 4, (3, 3), strides=2, padding="own"),
    "conv2d_one": Conv((4, 3, 5), 4, (1, 1), rank=3),
    "conv2d_thin": Conv((6, 5, 3), 4, (3, 1), dilation=(1, 2), padding="same"),
    "conv3d_same": Conv((4, 3, 5, 2), 3, (2, 3, 1), padding="same"),
    "conv3d_strided": Conv((5, 4, 5, 2), 3, (2, 2, 2), strides=2),
}
BLOCKS = {
    "blocks_1d": Conv((7, 6), 3, (2,), groups=3, rank=3, blocks=True),
    "blocks_2d": Conv((5, 6, 4), 6, (3, 2), groups=2, rank=4, blocks=True),
    "blocks_strided": Conv(
        *((6, 5, 4), 4, (3, 3), 2), groups=2, padding=1, rank=2, blocks=True
    ),
    "blocks_one": Conv((3, 4, 6), 6, (1, 1), groups=3, rank=6, blocks=True),
    "blocks_channels": Conv((5, 4, 3), 6, (2, 3), groups=3, rank=3, blocks=True),
    "blocks_3d": Conv((3, 4, 3, 4), 4, (2, 2, 2), groups=2, rank=2, blocks=True),
}
GROUPED = {
    "grouped_1d": Conv((7, 6), 3, (2,), groups=3, rank=3),
    "grouped_2d": Conv((5, 6, 4), 6, (3, 2), groups=2, padding="same", rank=4),
    "grouped_strided": Conv((6, 5, 4), 4, (3, 3), 2, groups=2, padding=1),
    "grouped_one": Conv((3, 4, 6), 6, (1, 1), groups=3, rank=6),
    "grouped_channels": Conv((5, 4, 3), 6, (2, 3), groups=3, rank=3, rslora=True),
    "grouped_3d": Conv((3, 4, 3, 4), 4, (2, 2, 2), groups=2),
}
DILATED = {
    "dilated_1d": Conv((8, 3), 4, (3,), dilation=(2,), padding="same"),
    "dilated_1d_far": Conv((9, 3), 4, (2,), dilation=(3,), padding="same"),
    "dilated_2d": Conv((6, 7, 3), 4, (3, 3), dilation=(2, 2), padding="same"),
    "dilated_one_axis": Conv((6, 5, 3), 4, (3, 3), dilation=(1, 2), padding="same"),
    "dilated_thin": Conv((6, 5, 3), 4, (3, 1), dilation=(2, 1), padding="same"),
    "dilated_3d": Conv((4, 3, 5, 2), 3, (3, 1, 2), dilation=(2, 1, 1), padding="same"),
    "dilated_blocks": Conv(
        *((6, 5, 4), 4, (3, 3), 1, (2, 2), 2, "same"), rank=2, blocks=True
    ),
    "dilated_valid": Conv((6, 7, 3), 4, (3, 3), dilation=(2, 1)),
    "dilated_causal": Conv((8, 3), 4, (2,), dilation=(2,), padding="causal"),
}
FORMS = SAME | BLOCKS | GROUPED | DILATED


def drawn(label, shape):
    """Returns values -1, -3/4, ... 1 that depend on the label and the shape alone."""
    rng = np.random.default_rng(zlib.crc32(f"{label}{tuple(shape)}".encode()))
    return (rng.integers(-4, 5, shape) / 4).astype("float32")


def inputs_of(form):
    """Returns the inputs of a linear layer: the axes that it contracts."""
    return int(np.prod(form.shape[{"output": 1, "flatten": 0}.get(form.kind, -1) :]))


def block(name, form):
    """Returns (rank, channels, *window), the A of one group on each group's own."""
    ranks, own = form.rank // form.groups, form.shape[-1] // form.groups
    one = drawn(f"{name}.layer.A", (ranks, own, *form.window))
    a = np.zeros((form.rank, form.shape[-1], *form.window), "float32")
    for g in range(form.groups):
        a[g * ranks : (g + 1) * ranks, g * own : (g + 1) * own] = one
    return a
