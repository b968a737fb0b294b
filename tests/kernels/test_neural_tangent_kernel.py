"""The neural tangent kernel against closed forms, differences and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from kphotoz import adapters, layers
from kphotoz.errors import InputError
from kphotoz.kernels import NeuralTangentKernel, neural_tangent_kernel


def network(activation="relu", outputs=1, width=7, seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(width, activation, bias_initializer="normal")(inputs)
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(inputs, keras.layers.Dense(outputs)(x))


def sample(rows, seed=0, outputs=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).astype("float32")
    return x, np.sin(x @ rng.normal(size=(3, outputs))) + 0.1


def closed_form(model, one, two):
    """K of ``a . relu(x W + b) + c``: sums over units, for each of the 4 weights."""
    w, b, a, _ = (np.asarray(v, "float64") for v in model.get_weights())
    found = np.empty((len(one), len(two)))
    for i, x in enumerate(one.astype("float64")):
        for j, y in enumerate(two.astype("float64")):
            left, right = x @ w + b, y @ w + b
            both = (left > 0) & (right > 0)
            by_last = np.maximum(left, 0) @ np.maximum(right, 0) + 1
            by_first = np.square(a[:, 0][both]).sum() * (x @ y + 1)
            found[i, j] = by_last + by_first
    return found


def test_of_a_relu_layer_it_is_the_closed_form():
    model = network()
    (x, _), (new, _) = sample(20), sample(9, seed=1)
    kernel = NeuralTangentKernel(model, batch_size=4)
    np.testing.assert_allclose(kernel(new, x), closed_form(model, new, x), rtol=1e-5)
    own = kernel(x)
    np.testing.assert_allclose(own, closed_form(model, x, x), rtol=1e-5)
    np.testing.assert_array_equal(own, own.T)
    assert np.linalg.eigvalsh(own).min() > -1e-10 * np.linalg.eigvalsh(own).max()


def test_it_follows_the_weights_as_they_are_now():
    model = network()
    kernel, (x, _) = NeuralTangentKernel(model), sample(5)
    kernel(x)
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(kernel(x), closed_form(model, x, x), rtol=1e-5)


def by_differences(model, x, step=1e-2):
    """Central differences by every trainable parameter, (n * outputs, parameters)."""
    columns = []
    for variable in model.trainable_variables:
        start = np.array(keras.ops.convert_to_numpy(variable))
        for index in np.ndindex(*start.shape):
            sides = []
            for sign in (1, -1):
                moved = start.copy()
                moved[index] += sign * step
                variable.assign(moved)
                sides.append(np.asarray(model(x, training=False), "float64").ravel())
            columns.append((sides[0] - sides[1]) / (2 * step))
            variable.assign(start)
    return np.stack(columns, axis=1)


def image_network():
    inputs = keras.Input((5, 4, 2))
    x = keras.layers.Conv2D(3, 3, activation="tanh")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    return model, np.random.default_rng(0).normal(size=(3, 5, 4, 2))


def adapted_network():
    inputs = keras.Input((4,))
    x = layers.LoRADense(6, "tanh", rank=2)(inputs)
    model = keras.Model(inputs, layers.LoRADense(3, rank=2, formulation="factored")(x))
    return model, np.random.default_rng(0).normal(size=(3, 4))


def wrapped_network():
    inputs = keras.Input((2, 3))
    x = keras.layers.TimeDistributed(keras.layers.Dense(4, "tanh"))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    return adapters.apply(model, rank=1), np.ones((3, 2, 3)) * [0.1, 0.2, 0.4]


@pytest.mark.parametrize("make", [image_network, adapted_network, wrapped_network])
def test_derivatives_are_those_of_finite_differences(make):
    keras.utils.set_random_seed(0)
    model, x = make()
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:  # factors B start at 0
        variable.assign(rng.normal(0, 0.4, variable.shape).astype("float32"))
    x = x.astype("float32")
    found = NeuralTangentKernel(model).derivatives(x)
    np.testing.assert_allclose(found, by_differences(model, x), atol=2e-3)
    assert np.abs(found).max() > 0.1


def test_inputs_by_name_are_taken():
    one, two = keras.Input((2,), name="one"), keras.Input((1,), name="two")
    joined = keras.layers.Concatenate()([one, two])
    model = keras.Model({"one": one, "two": two}, keras.layers.Dense(1)(joined))
    x, _ = sample(6)
    found = NeuralTangentKernel(model)({"one": x[:, :2], "two": x[:, 2:]})
    wide = x.astype("float64")
    np.testing.assert_allclose(found, wide @ wide.T + 1, rtol=1e-6)


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_its_predictor_is_kernel_ridge_regression(ridge):
    model = network("tanh")
    (x, y), (new, _) = sample(30), sample(11, seed=1)
    kernel = NeuralTangentKernel(model).fit(x, y, ridge=ridge)
    theirs = KernelRidge(alpha=ridge, kernel="precomputed").fit(kernel(x), y)
    expected = theirs.predict(kernel(new, x))
    np.testing.assert_allclose(kernel.predict(new), expected, atol=1e-8)


def test_without_ridge_it_has_the_least_norm():
    model = network("tanh", outputs=2)
    x, y = sample(8, outputs=2)
    kernel = NeuralTangentKernel(model).fit(x, y)
    expected = np.linalg.pinv(kernel.derivatives(x)) @ y.ravel()
    np.testing.assert_allclose(kernel.displacement, expected, atol=1e-5)
    np.testing.assert_allclose(kernel.predict(x), y, atol=1e-6)


def test_around_the_network_it_is_the_network_made_linear():
    model = network("tanh")
    x, y = sample(20)
    kernel = NeuralTangentKernel(model, around="network").fit(x, y, ridge=1e12)
    np.testing.assert_allclose(kernel.predict(x), model.predict_on_batch(x), atol=1e-6)
    kernel.fit(x, model.predict_on_batch(x) + 1e-3 * y, ridge=1.0)
    start = model.get_weights()
    before, moved, at = model.predict_on_batch(x), [], 0
    for weight in start:
        part = kernel.displacement[at : at + weight.size].reshape(weight.shape)
        moved.append(weight + part)
        at += weight.size
    model.set_weights(moved)
    change = model.predict_on_batch(x) - before
    model.set_weights(start)
    np.testing.assert_allclose(kernel.predict(x) - before, change, atol=1e-5)
    assert np.abs(change).max() > 1e-4


@pytest.mark.parametrize("outputs", [1, 2])
def test_rows_left_out_choose_the_ridge_that_refits_would(monkeypatch, outputs):
    monkeypatch.setattr(neural_tangent_kernel, "RIDGES", np.logspace(-6, 0, 13))
    model = network("tanh", outputs)
    x, y = sample(12, outputs=outputs)
    y = y + np.random.default_rng(3).normal(0, 0.3, y.shape)
    kernel = NeuralTangentKernel(model)
    rows = kernel.derivatives(x)
    ridges = np.linalg.eigvalsh(rows @ rows.T).max() * np.logspace(-6, 0, 13)
    errors = []
    for ridge in ridges:
        total = 0.0
        for row in range(12):
            left = np.arange(12 * outputs) // outputs == row
            theirs = Ridge(ridge, fit_intercept=False, solver="svd")
            theirs.fit(rows[~left], y.ravel()[~left])
            total += np.square(theirs.predict(rows[left]) - y[row]).sum()
        errors.append(total)
    kernel.fit(x, y, ridge="left_out")
    assert kernel.ridge == pytest.approx(ridges[np.argmin(errors)])
    assert ridges[0] < kernel.ridge < ridges[-1]


def test_its_variance_is_that_of_the_gaussian_process():
    model = network("tanh")
    (x, y), (new, _) = sample(40), sample(11, seed=1)
    kernel = NeuralTangentKernel(model).fit(x, y, ridge=0.5)
    process = GaussianProcessRegressor(
        DotProduct(0.0, "fixed"), alpha=0.5, optimizer=None
    )
    process.fit(kernel.derivatives(x), y[:, 0])
    _, deviation = process.predict(kernel.derivatives(new), return_std=True)
    scale = kernel.noise / 0.5
    expected = np.square(deviation) * scale
    np.testing.assert_allclose(kernel.variance(new)[:, 0], expected, rtol=1e-5)
    # The noise: errors by scikit-learn over the degrees of freedom.
    matrix = kernel(x)
    hat = matrix @ np.linalg.inv(matrix + 0.5 * np.eye(40))
    errors = y - hat @ y
    assert kernel.noise == pytest.approx(np.sum(errors**2) / (40 - np.trace(hat)))
    with pytest.raises(InputError, match="ridge=0"):
        kernel.fit(x, y).variance(new)


def test_more_memory_than_stated_is_refused_with_the_number(monkeypatch):
    monkeypatch.setattr(neural_tangent_kernel, "LARGEST", 10_000)
    x, y = sample(40)  # 40 rows of 36 parameters: 11,520 bytes
    with pytest.raises(InputError, match="1.15e-05 GB, derivatives.*40 by 36"):
        NeuralTangentKernel(network()).fit(x, y)
    with pytest.raises(InputError, match="GB, kernel.*36 by 36"):
        NeuralTangentKernel(network(width=1))(x[:36])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y: {"inputs": x[:0], "targets": y[:0]}, "at least one row"),
        (lambda x, y: {"inputs": x, "targets": y[1:]}, "each row, 9.*\\(8, 1\\)"),
        (lambda x, y: {"inputs": x, "targets": y * np.nan}, "finite targets"),
        (lambda x, y: {"inputs": x * np.nan, "targets": y}, "infinity in row 0"),
        (lambda x, y: {"inputs": x, "targets": y, "ridge": -1.0}, "ridge >= 0"),
        (lambda x, y: {"inputs": x, "targets": y, "ridge": np.nan}, "ridge >= 0"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        NeuralTangentKernel(network()).fit(**change(*sample(9)))


def test_equal_rows_are_fitted_by_their_mean():
    model = network("tanh")
    x = np.ones((4, 3), "float32")
    kernel = NeuralTangentKernel(model).fit(x, np.arange(4.0))
    np.testing.assert_allclose(kernel.predict(x), 1.5)


def test_models_that_have_no_such_kernel_are_refused():
    inputs = keras.Input((3,))
    frozen = network()
    frozen.trainable = False
    with pytest.raises(InputError, match="trainable parameters"):
        NeuralTangentKernel(frozen)
    two = [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)]
    with pytest.raises(InputError, match="2 outputs"):
        NeuralTangentKernel(keras.Model(inputs, two))
    dora = layers.LoRADense(2, rank=1, dora=True)(inputs)
    with pytest.raises(InputError, match="DoRA"):
        NeuralTangentKernel(keras.Model(inputs, dora))
    with pytest.raises(InputError, match="'nothing'"):
        NeuralTangentKernel(network(), around="nothing")
    with pytest.raises(InputError, match="fit first"):
        NeuralTangentKernel(network()).predict(np.zeros((1, 3)))
