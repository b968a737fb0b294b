import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.adapters.inventory import adapters_of
from kphotoz.errors import InputError


def expected(update):
    """Returns exp(entropy) of the singular values of the explicit matrix."""
    values = np.linalg.svd(update.astype("float64"), compute_uv=False)
    shares = values / values.sum()
    return np.exp(-sum(p * np.log(p) for p in shares if p > 1e-9))


@pytest.mark.parametrize("start", ["zero", "pissa"])
def test_effective_rank_is_that_of_the_explicit_update(base, start):
    model = adapters.apply(base, 3, 5.0, start=start)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape))
    ranks = adapters.effective_rank(model)
    found = {x.path: x for x in adapters_of(model)}
    assert list(ranks) == list(found)
    for path, adapter in found.items():
        update = adapter.update().reshape(-1, adapter.kernel.shape[-1])
        np.testing.assert_allclose(ranks[path], expected(update), rtol=1e-4)


def test_known_spectra_have_known_effective_ranks():
    image = keras.Input((6,))
    base = keras.Model(image, keras.layers.Dense(9, name="head")(image))
    model = adapters.apply(base, 3)
    assert adapters.effective_rank(model) == {"head": 0.0}
    (adapter,) = adapters_of(model)
    adapter.a.assign(np.eye(6)[:, :3])
    for scales, wanted in (((2, 2, 2), 3.0), ((7, 0, 0), 1.0), ((3, 3, 0), 2.0)):
        adapter.b.assign(np.diag(scales) @ np.eye(9)[:3])
        assert adapters.effective_rank(model)["head"] == pytest.approx(wanted)


def test_model_without_adapters_is_refused(base):
    with pytest.raises(InputError, match="has none"):
        adapters.effective_rank(base)
