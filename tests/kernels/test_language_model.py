"""The last layer of a small GPT-2, never trained, solved and compared by its features.

Qadeer et al. (arXiv 2310.18612) refit one that was trained, and Vargas et al. (arXiv
2310.13836) found two samples of texts apart in such embeddings; here both in small.
"""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from kphotoz import shift
from kphotoz.kernels import ConjugateKernel, KernelLogisticRegression
from kphotoz.kernels.features import Features

LENGTH, WORDS = 12, 40


@pytest.fixture(scope="module")
def classifier():
    """A graph from tokens to one logit, of the mean of all states."""
    keras_hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=WORDS,
        num_layers=2,
        num_heads=2,
        hidden_dim=24,
        intermediate_dim=48,
        max_sequence_length=LENGTH,
        dropout=0.1,
    )
    states = keras.layers.GlobalAveragePooling1D()(backbone.output)
    logit = keras.layers.Dense(1, name="logit")(states)
    return keras.Model(backbone.input, logit)


def texts(seed, rows, words=WORDS):
    """Returns tokens, and how many of them are in the vocabulary's first half."""
    tokens = np.random.default_rng(seed).integers(0, words, (rows, LENGTH))
    inputs = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    return inputs, (tokens < WORDS // 2).sum(axis=1)


def test_refit_is_ridge_regression_on_the_mean_state(classifier):
    inputs, count = texts(1, 300)
    ridge = 0.5
    kernel = ConjugateKernel(classifier).fit(inputs, count, ridge=ridge)
    below = keras.Model(classifier.input, classifier.get_layer("logit").input)

    def states(inputs):
        found = np.asarray(below.predict(inputs, verbose=0), np.float64)
        return np.hstack([found, np.ones((len(found), 1))])

    wanted = Ridge(ridge, solver="svd", fit_intercept=False).fit(states(inputs), count)
    asked, _ = texts(2, 50)
    found = kernel.predict(asked)[:, 0]
    np.testing.assert_allclose(found, wanted.predict(states(asked)), rtol=1e-3)


def test_classes_are_read_off_random_states_as_by_a_linear_probe(classifier):
    (inputs, count), (asked, truth) = texts(1, 600), texts(2, 300)
    labels, wanted = (count > 6).astype(int), truth > 6
    kernel = KernelLogisticRegression(classifier).fit(inputs, labels, ridge=1e-3)
    mine = np.asarray(kernel.predict(asked)).reshape(len(wanted), -1)
    chosen = mine[:, 0] > 0.5 if mine.shape[1] == 1 else mine.argmax(axis=1) == 1
    states = [
        np.concatenate(list(Features(classifier).blocks(x))) for x in (inputs, asked)
    ]
    probe = LogisticRegression(max_iter=1000).fit(states[0], labels)
    theirs = (probe.predict(states[1]) == wanted).mean()
    assert theirs > 0.65  # the states hold the answer, training or not
    assert (chosen == wanted).mean() == pytest.approx(theirs, abs=0.06)


def test_texts_of_other_words_are_told_apart_and_of_the_same_are_not(classifier):
    features = Features(classifier)
    like, same, other = (
        np.concatenate(list(features.blocks(texts(seed, 200, words)[0])))
        for seed, words in ((1, WORDS), (2, WORDS), (3, WORDS - 12))
    )
    apart = shift.classifier_test(like, other, permutations=99)
    alike = shift.classifier_test(like, same, permutations=99)
    assert apart.p == 0.01 and apart.statistic > 0.7
    assert alike.p > 0.01
