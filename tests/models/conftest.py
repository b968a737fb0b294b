"""A small survey whose redshift is a colour, and what surveys say of themselves."""

import numpy as np
import pytest

from kphotoz.data import SurveyInfo


@pytest.fixture(scope="session")
def survey():
    rng = np.random.default_rng(0)
    z = rng.uniform(0.1, 1.5, 200)
    y, x = np.mgrid[:16, :16] - 7.5
    spot = np.exp(-(x**2 + y**2) / 8.0)[None, ..., None]
    flux = np.stack([1 + 0 * z, 10 ** (0.4 * z), 10 ** (0.6 * z), 4 - z], -1)
    images = 20 * spot * flux[:, None, None] + rng.normal(0, 1, (200, 16, 16, 4))
    return images.astype("float32"), z


@pytest.fixture(scope="session")
def facts():
    """Returns a function of bands and pixel scale, and of kind and input shape."""

    def facts(bands, scale, kind="image", shape=(16, 16, 4), zero_point=None):
        names = {"name": "survey", "unit": "count", "label_kind": "spectroscopic"}
        return SurveyInfo(
            bands=tuple(bands),
            pixel_scale=scale,
            kind=kind,
            input_shape=shape,
            counts={},
            metadata={"zero_point": zero_point},
            **names,
        )

    return facts
