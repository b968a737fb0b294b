"""The conjugate kernel against its explicit form and scikit-learn's processes."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.kernel_ridge import KernelRidge

from kphotoz import adapters, layers
from kphotoz.errors import InputError
from kphotoz.kernels import ConjugateKernel


def network(width=16, outputs=1, seed=0, bias=True):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(width, "tanh", name="hidden")(inputs)
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(inputs, keras.layers.Dense(outputs, use_bias=bias)(x))


@pytest.fixture(scope="module")
def model():
    return network()


def sample(rows, outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).astype("float32")
    return x, np.sin(x @ rng.normal(size=(3, outputs))) + 0.1


def hidden(model, x):
    """Features by hand, float64."""
    kernel, bias = (np.asarray(w, "float64") for w in model.layers[1].get_weights())
    return np.tanh(x.astype("float64") @ kernel + bias)


def test_it_is_kernel_regression_with_its_explicit_kernel(model):
    x, y = sample(60)
    new = sample(50, seed=1)[0]
    ours = ConjugateKernel(model, batch_size=16).fit(x, y, ridge=0.1).predict(new)
    explicit = KernelRidge(alpha=0.1, kernel="precomputed")
    phi, phi_new = hidden(model, x), hidden(model, new)
    explicit.fit(phi @ phi.T + 1, y)
    np.testing.assert_allclose(ours, explicit.predict(phi_new @ phi.T + 1), atol=1e-5)


@pytest.mark.parametrize("rows", [60, 5])  # of 17 unknowns
def test_its_variance_is_that_of_the_gaussian_process(model, rows):
    x, y = sample(rows)
    new = sample(20, seed=1)[0]
    kernel = ConjugateKernel(model).fit(x, y, ridge=0.1)
    process = GaussianProcessRegressor(
        DotProduct(1.0, "fixed"), alpha=0.1, optimizer=None
    )
    process.fit(hidden(model, x), y[:, 0])
    _, deviation = process.predict(hidden(model, new), return_std=True)
    # The process has noise 0.1, ours the noise of its errors.
    scale = kernel.noise / 0.1
    np.testing.assert_allclose(
        kernel.variance(new)[:, 0], np.square(deviation) * scale, rtol=1e-3
    )


def test_with_fewer_rows_than_features_it_has_the_least_norm(model):
    x, y = sample(5)
    phi = np.hstack([hidden(model, x), np.ones((5, 1))])
    kernel = ConjugateKernel(model).fit(x, y)
    np.testing.assert_allclose(kernel.predict(x), y, atol=1e-5)
    np.testing.assert_allclose(kernel.coefficients, np.linalg.pinv(phi) @ y, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(1, 80), outputs=st.integers(1, 3))
def test_the_training_error_never_grows(seed, rows, outputs):
    model = network(outputs=outputs, seed=seed)
    x, y = sample(rows, outputs, seed)
    refit = ConjugateKernel(model).fit(x, y).refit()
    before = np.square(model.predict_on_batch(x) - y).mean()
    assert np.square(refit.predict_on_batch(x) - y).mean() <= before + 1e-9


def test_the_refit_predicts_as_the_kernel_and_leaves_the_model_alone(model):
    x, y = sample(60)
    before = model.predict_on_batch(x)
    kernel = ConjugateKernel(model).fit(x, y, ridge=1e-3)
    np.testing.assert_allclose(
        kernel.refit().predict_on_batch(x), kernel.predict(x), atol=1e-5
    )
    np.testing.assert_array_equal(model.predict_on_batch(x), before)


def test_a_layer_without_bias_stays_without():
    model = network(bias=False)
    x, y = sample(60)
    kernel = ConjugateKernel(model).fit(x, y)
    assert kernel.coefficients[-1] == 0
    np.testing.assert_allclose(
        kernel.refit().predict_on_batch(x), kernel.predict(x), atol=1e-5
    )


def test_a_strong_ridge_around_the_network_gives_the_network(model):
    x, y = sample(60)
    kernel = ConjugateKernel(model, around="network").fit(x, y, ridge=1e12)
    np.testing.assert_allclose(kernel.predict(x), model.predict_on_batch(x), atol=1e-6)


def test_without_ridge_it_does_not_matter_where_it_starts(model):
    x, y = sample(60)
    fits = [ConjugateKernel(model, around=a).fit(x, y) for a in ("zero", "network")]
    np.testing.assert_allclose(fits[0].predict(x), fits[1].predict(x), atol=1e-6)


def test_rows_left_out_choose_less_ridge_for_less_noise(model):
    x, y = sample(200)
    noise = np.random.default_rng(5).normal(size=y.shape)
    ridges = [
        ConjugateKernel(model).fit(x, y + s * noise, ridge="left_out").ridge
        for s in (0.01, 3.0)
    ]
    assert ridges[0] < ridges[1]


def test_weights_count_rows(model):
    x, y = sample(40)
    weights = np.repeat([1.0, 3.0], 20)
    twice = np.repeat(np.arange(40), weights.astype(int))
    ours = ConjugateKernel(model).fit(x, y, weights=weights, ridge=0.1)
    theirs = ConjugateKernel(model).fit(x[twice], y[twice], ridge=0.1)
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, atol=1e-5)


def test_reweighting_ends_where_the_robust_loss_is_least(model):
    x, y = sample(120)
    y[::10] += 50.0  # outliers
    kernel = ConjugateKernel(model).fit(
        x, y, reweight=lambda t, p: 1 / np.sqrt(1 + np.square(t - p)[:, 0])
    )
    phi = np.hstack([hidden(model, x), np.ones((120, 1))])
    # The gradient of sum(sqrt(1 + error^2)) vanishes there.
    errors = y - phi @ kernel.coefficients
    pull = phi.T @ (errors / np.sqrt(1 + np.square(errors)))
    assert np.abs(pull).max() < 0.02


def test_the_network_projected_on_its_kernel_is_itself(model):
    x, _ = sample(60)
    kernel = ConjugateKernel(model).project(x)
    new = sample(20, seed=1)[0]
    np.testing.assert_allclose(
        kernel.predict(new), model.predict_on_batch(new), atol=1e-5
    )


def test_features_of_a_named_layer_come_without_a_head(model):
    x, y = sample(60)
    kernel = ConjugateKernel(model, "hidden").fit(x, y, ridge=0.1)
    np.testing.assert_allclose(
        kernel.predict(x), ConjugateKernel(model).fit(x, y, ridge=0.1).predict(x)
    )
    with pytest.raises(InputError, match="to replace it"):
        kernel.refit()


class Batches:
    """Batches of uneven length that can be iterated over again and again."""

    def __init__(self, x, named=False):
        self.x, self.named = x, named

    def __iter__(self):
        for part in np.split(self.x, [7, 40]):
            yield {"inputs": part} if self.named else part


@pytest.mark.parametrize("named", [False, True])
def test_batches_are_read_as_the_array_is(named):
    inputs = keras.Input((3,), name="inputs")
    hidden = keras.layers.Dense(9, "tanh")(inputs)
    model = keras.Model({"inputs": inputs} if named else inputs, hidden)
    model = keras.Model(model.input, keras.layers.Dense(1)(hidden))
    x, y = sample(60)
    whole = {"inputs": x} if named else x
    one = ConjugateKernel(model).fit(whole, y, ridge="left_out")
    two = ConjugateKernel(model, batch_size=5).fit(
        Batches(x, named), y, ridge="left_out"
    )
    assert one.ridge == pytest.approx(two.ridge, rel=1e-5)
    np.testing.assert_allclose(
        two.predict(Batches(x, named)), one.predict(whole), atol=1e-5
    )


def test_an_iterator_that_ends_after_one_pass_is_refused(model):
    x, y = sample(20)
    with pytest.raises(InputError, match="generator, which ends after one"):
        ConjugateKernel(model).fit((part for part in [x]), y)


@pytest.mark.parametrize("around", ["zero", "network"])
def test_features_known_already_give_the_same_fit(model, around):
    x, y = sample(60)
    kernel = ConjugateKernel(model, around=around, batch_size=16)
    features = np.concatenate([*kernel.features.blocks(x)])
    settings = {"ridge": 0.1, "weights": np.linspace(0, 1, 60)}
    wanted = kernel.fit(x, y, **settings).coefficients
    found = kernel.fit_features(features, y, **settings).coefficients
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(InputError, match=r"shape \(n, 16\).*shape \(60, 15\)"):
        kernel.fit_features(features[:, 1:], y)
    features[50, 2] = np.inf
    with pytest.raises(InputError, match="infinity in row 50"):
        kernel.fit_features(features, y)


@pytest.mark.parametrize("around", ["zero", "network"])
def test_solutions_with_other_ridges_are_those_of_other_fits(model, around):
    x, y = sample(60)
    kernel = ConjugateKernel(model, around=around)
    with pytest.raises(InputError, match="fit first"):
        kernel.solutions([0.0])
    weights = np.linspace(0, 1, 60)
    found = [*kernel.fit(x, y, weights=weights, ridge=3.0).solutions([0.0, 0.5])]
    for ridge, coefficients in zip([0.0, 0.5], found, strict=True):
        wanted = kernel.fit(x, y, weights=weights, ridge=ridge).coefficients
        np.testing.assert_allclose(coefficients, wanted, rtol=1e-9, atol=1e-9)


def adapted_network():
    keras.utils.set_random_seed(1)
    adapted = adapters.apply(network(outputs=3), rank=2)
    factors = [v for v in adapted.trainable_variables if "lora_b" in v.path]
    for number, factor in enumerate(factors):
        values = np.random.default_rng(number).normal(0, 0.3, factor.shape)
        factor.assign(values.astype("float32"))
    assert factors
    return adapted


def test_a_last_layer_with_an_adapter_is_to_be_merged_first():
    adapted = adapted_network()
    with pytest.raises(InputError, match="adapters.merge"):
        ConjugateKernel(adapted)
    x, y = sample(60, outputs=3)
    merged = adapters.merge(adapted)
    refit = ConjugateKernel(merged).fit(x, y).refit()
    before = np.square(adapted.predict_on_batch(x) - y).mean()
    assert np.square(refit.predict_on_batch(x) - y).mean() < before


def test_a_model_adapted_as_a_whole_is_to_be_merged_first():
    inputs = keras.Input((3,))
    cell = keras.layers.TimeDistributed(keras.layers.Dense(4))
    x = cell(keras.layers.Reshape((1, 3))(inputs))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    adapted = adapters.apply(keras.Model(inputs, outputs), rank=1)
    with pytest.raises(InputError, match="adapters.merge"):
        ConjugateKernel(adapted)


def test_adapters_below_the_last_layer_stay():
    inputs = keras.Input((3,))
    x = layers.LoRADense(8, "tanh", rank=2)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    x, y = sample(60)
    refit = ConjugateKernel(model).fit(x, y).refit()
    assert isinstance(refit.layers[1], layers.LoRADense)
    outputs = keras.Model(inputs, layers.LoRADense(1, rank=1)(inputs))
    with pytest.raises(InputError, match="LoRADense.*adapters.merge"):
        ConjugateKernel(outputs)


def broken(x, y):
    x = x.copy()
    x[7] = np.nan
    return {"inputs": x, "targets": y}


@pytest.mark.parametrize(
    "fit, message",
    [
        (broken, "NaN or infinity in row 7"),
        (
            lambda x, y: {"inputs": x, "targets": y[:-1]},
            "\\(19, 1\\) targets",
        ),
        (lambda x, y: {"inputs": x[:0], "targets": y[:0]}, "at least one row"),
        (lambda x, y: {"inputs": x, "targets": y * np.inf}, "finite targets"),
        (lambda x, y: {"inputs": x, "targets": y, "ridge": -1}, "Received: -1"),
        (lambda x, y: {"inputs": x, "targets": y, "weights": 0 * y[:, 0]}, "not all"),
    ],
)
def test_bad_input_is_refused(model, fit, message):
    with pytest.raises(InputError, match=message):
        ConjugateKernel(model).fit(**fit(*sample(20)))


def test_one_row_and_constant_features_are_fitted(model):
    x, y = sample(1)
    np.testing.assert_allclose(ConjugateKernel(model).fit(x, y).predict(x), y)
    same = np.zeros((9, 3), "float32")
    kernel = ConjugateKernel(model).fit(same, np.arange(9.0))
    np.testing.assert_allclose(kernel.predict(same), 4.0)


def test_models_that_cannot_be_refitted_are_refused():
    inputs = keras.Input((3,))
    softmax = keras.Model(inputs, keras.layers.Dense(2, "softmax")(inputs))
    with pytest.raises(InputError, match="with softmax"):
        ConjugateKernel(softmax)
    with pytest.raises(InputError, match="InputLayer|Flatten"):
        ConjugateKernel(keras.Model(inputs, keras.layers.Flatten()(inputs)))
    with pytest.raises(InputError, match="Received: 'nothing'"):
        ConjugateKernel(softmax, "nothing")
    with pytest.raises(InputError, match="first"):
        ConjugateKernel(network()).predict(np.zeros((1, 3)))
