"""Settings of every test: one backend a run, no GPU memory grab, real data if given."""

import os
import pathlib

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real survey data, or a skip that says how to get one."""
    folder = os.environ.get("KPHOTOZ_REAL_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("KPHOTOZ_REAL_DATA names no folder of real survey data")
    return pathlib.Path(folder)


class MemoryStore:
    """A split of a survey whose examples are in memory, as `Sample` reads one."""

    def __init__(self, info, table: dict, pixels: np.ndarray) -> None:
        self.info, self.table, self.pixels = info, table, pixels

    def __len__(self) -> int:
        return len(self.pixels)


@pytest.fixture(scope="session")
def make_sample():
    """Returns a function that makes small samples of round, noisy, reddening blobs."""
    from kphotoz import data

    def make(count: int, seed: int = 0, size: int = 16, bands: str = "gri", tag=""):
        random = np.random.default_rng(seed)
        redshift = random.uniform(0.1, 1.0, count)
        rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
        blob = np.exp(-(rows**2 + columns**2) / 8)
        colour = 1 + redshift[:, None] * np.arange(len(bands))
        pixels = blob[None, :, :, None] * colour[:, None, None, :]
        pixels = pixels + random.normal(0, 0.02, pixels.shape)
        ids = np.array([f"{tag}{seed}-{i}" for i in range(count)], object)
        nothing = np.full(count, np.nan)
        table = {"id": ids, "group": ids, "redshift": redshift, "z_true": redshift}
        table |= {"redshift_error": nothing, "magnitude": nothing}
        info = data.SurveyInfo(
            name=f"blobs{tag}",
            bands=tuple(bands),
            pixel_scale=0.2,
            unit="count",
            image_size=size,
            label_kind="spectroscopic",
            counts={"train": count},
            metadata={"licence": "none", "acknowledgement": "none"},
        )
        store = MemoryStore(info, table, pixels.astype("float32"))
        return data.Sample([(store, np.arange(count))])

    return make
