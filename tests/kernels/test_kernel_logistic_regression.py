"""Kernel logistic regression against scikit-learn's LogisticRegression."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kphotoz.errors import InputError
from kphotoz.kernels import KernelLogisticRegression, kernel_logistic_regression


def network(outputs=1, activation="sigmoid", bias=True, width=9):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(width, "tanh", name="hidden")(inputs)
    head = keras.layers.Dense(outputs, activation, use_bias=bias)
    return keras.Model(inputs, head(x))


def sample(rows, classes=2, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).astype("float32")
    scores = x @ rng.normal(size=(3, classes)) + noise * rng.gumbel(
        size=(rows, classes)
    )
    return x, scores.argmax(axis=1)


def explicit(model, x):
    """Features by hand and the constant, float64."""
    kernel, bias = (np.asarray(w, "float64") for w in model.layers[1].get_weights())
    hidden = np.tanh(x.astype("float64") @ kernel + bias)
    return np.hstack([hidden, np.ones((len(x), 1))])


def theirs(model, x, labels, new, ridge, weights=None):
    """scikit-learn's probabilities, of the same penalty on all coefficients."""
    found = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-12)
    found.set_params(solver="newton-cg", max_iter=10_000)
    found.fit(explicit(model, x), labels, weights)
    return found.predict_proba(explicit(model, new))


@pytest.mark.parametrize("ridge", [1e-2, 3.0])
def test_two_classes_with_one_output_are_those_of_scikit_learn(ridge):
    model = network()
    (x, labels), (new, _) = sample(120), sample(40, seed=1)
    kernel = KernelLogisticRegression(model).fit(x, labels, ridge=ridge)
    expected = theirs(model, x, labels, new, ridge)
    np.testing.assert_allclose(kernel.predict(new), expected, atol=1e-5)
    assert kernel.converged and kernel.rounds < 12


@pytest.mark.parametrize("ridge", [1e-2, 3.0])
def test_four_classes_are_those_of_scikit_learn(ridge):
    model = network(4, "softmax")
    (x, labels), (new, _) = sample(160, 4), sample(40, seed=1)
    weights = np.random.default_rng(0).uniform(0, 2, 160)
    kernel = KernelLogisticRegression(model)
    kernel.fit(x, labels, ridge=ridge, weights=weights)
    expected = theirs(model, x, labels, new, ridge, weights)
    np.testing.assert_allclose(kernel.predict(new), expected, atol=1e-5)


def test_two_outputs_share_the_penalty_of_two_classes():
    model = network(2, "softmax")
    (x, labels), (new, _) = sample(120), sample(40, seed=1)
    kernel = KernelLogisticRegression(model).fit(x, labels, ridge=0.6)
    # Half of c for one class, -c / 2 for the other: 0.6 of them is 0.3 of c.
    expected = theirs(model, x, labels, new, 0.3)
    np.testing.assert_allclose(kernel.predict(new), expected, atol=1e-5)


@pytest.mark.parametrize("outputs, activation", [(1, "sigmoid"), (3, "softmax")])
def test_the_refit_predicts_as_the_kernel_and_leaves_the_model_alone(
    outputs, activation
):
    model = network(outputs, activation)
    x, labels = sample(90, max(outputs, 2))
    before = model.predict_on_batch(x)
    kernel = KernelLogisticRegression(model).fit(x, labels)
    found = kernel.refit().predict_on_batch(x)
    expected = kernel.predict(x)[:, -outputs:]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict_on_batch(x), before)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_layer_of_logits_keeps_logits(outputs):
    model = network(outputs, None)
    x, labels = sample(90, max(outputs, 2))
    kernel = KernelLogisticRegression(model).fit(x, labels)
    logits = kernel.refit().predict_on_batch(x).astype("float64")
    if outputs == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(kernel.predict(x), chances, atol=1e-5)


def test_a_layer_without_bias_stays_without():
    model = network(bias=False)
    x, labels = sample(60)
    kernel = KernelLogisticRegression(model).fit(x, labels)
    assert kernel.coefficients[-1] == 0
    expected = kernel.predict(x)[:, 1:]
    np.testing.assert_allclose(kernel.refit().predict_on_batch(x), expected, atol=1e-5)


def cross_entropy(chances, labels):
    return -np.log(chances[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("outputs, activation", [(1, "sigmoid"), (3, "softmax")])
@pytest.mark.parametrize("ridge", [0.0, 1e-8])
def test_classes_that_planes_separate_do_not_diverge(outputs, activation, ridge):
    model = network(outputs, activation)
    x, labels = sample(60, max(outputs, 2), noise=0.0)
    kernel = KernelLogisticRegression(model)
    kernel.fit(x, labels, ridge=ridge, rounds=200)
    assert np.isfinite(kernel.coefficients).all()
    assert np.abs(kernel.coefficients).max() < 1e6
    chances = kernel.predict(x)
    assert (chances.argmax(axis=1) == labels).all()
    assert cross_entropy(chances, labels) < 1e-3


def test_fewer_rows_than_features_and_dependent_ones_are_fitted():
    model = network(width=40)
    x, labels = sample(12)
    kernel = KernelLogisticRegression(model).fit(x, labels, ridge=0.05)
    expected = theirs(model, x, labels, x, 0.05)
    np.testing.assert_allclose(kernel.predict(x), expected, atol=1e-5)
    kernel.fit(np.repeat(x, 3, axis=0), np.repeat(labels, 3), ridge=0.0, rounds=12)
    assert np.isfinite(kernel.predict(x)).all()


def test_of_constant_features_only_the_frequencies_are_left():
    kernel = KernelLogisticRegression(network())
    same = np.zeros((8, 3), "float32")
    kernel.fit(same, np.repeat([0, 1], [2, 6]), ridge=0.0)
    np.testing.assert_allclose(kernel.predict(same), [[0.25, 0.75]] * 8, atol=1e-8)


def test_features_of_a_named_layer_come_without_a_head():
    model = network()
    x, labels = sample(60)
    kernel = KernelLogisticRegression(model, "hidden", batch_size=7).fit(x, labels)
    expected = KernelLogisticRegression(model).fit(x, labels).predict(x)
    np.testing.assert_allclose(kernel.predict(x), expected, atol=1e-6)
    assert kernel.predict(x[:0]).shape == (0, 2)
    with pytest.raises(InputError, match="to replace it"):
        kernel.refit()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y: {"labels": 0 * y}, "class 0 only"),
        (lambda x, y: {"labels": y, "weights": 1.0 * y}, "class 1 only"),
        (lambda x, y: {"labels": y + 1}, "from 0 to 1. Received: 1 to 2"),
        (lambda x, y: {"labels": y - 1}, "from 0 to 1. Received: -1 to 0"),
        (lambda x, y: {"labels": y + 0.5}, "integers.*float64"),
        (lambda x, y: {"labels": np.eye(2)[y].astype(int)}, "shape \\(20, 2\\)"),
        (lambda x, y: {"labels": y[1:]}, "as many targets as rows, 20"),
        (lambda x, y: {"labels": y[:0]}, "at least one row"),
        (lambda x, y: {"inputs": x * np.nan, "labels": y}, "infinity in row 0"),
        (lambda x, y: {"labels": y, "ridge": -1}, "ridge >= 0"),
        (lambda x, y: {"labels": y, "ridge": "left_out"}, "ridge >= 0"),
        (lambda x, y: {"labels": y, "rounds": 0}, "rounds >= 1"),
        (lambda x, y: {"labels": y, "weights": -1.0 - y}, "weights >= 0"),
        (lambda x, y: {"inputs": iter([x]), "labels": y}, "ends after one"),
    ],
)
def test_bad_input_is_refused(change, message):
    x, labels = sample(20)
    with pytest.raises(InputError, match=message):
        KernelLogisticRegression(network()).fit(**{"inputs": x} | change(x, labels))


def test_models_that_have_no_classes_are_refused(monkeypatch):
    for outputs, activation in ((2, "sigmoid"), (1, "relu"), (1, "softmax")):
        with pytest.raises(InputError, match=f"{activation} of {outputs} units"):
            KernelLogisticRegression(network(outputs, activation))
    with pytest.raises(InputError, match="fit first"):
        KernelLogisticRegression(network()).predict(np.zeros((1, 3)))
    monkeypatch.setattr(kernel_logistic_regression, "MOST_UNKNOWNS", 29)
    with pytest.raises(InputError, match="at most 29 coefficients. Received: 30"):
        KernelLogisticRegression(network(3, "softmax")).fit(*sample(30, 3))
