"""Derivatives of each example's outputs by a model's trainable variables."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kphotoz.backend import devices

__all__ = ["per_example_jacobian"]


def per_example_jacobian(model: Any) -> Callable[[Any], np.ndarray]:
    """Returns a function from a batch to the derivatives of its predictions.

    Reverse mode, with the model as it predicts: no dropout, fixed normalisations. The
    function reads the variables anew at each call, and gives an array (n, outputs,
    parameters) in the dtype of the variables, outputs flattened, parameters in the
    order of `model.trainable_variables`, each flattened.

    Args:
        model: keras.Model with one output, at least one trainable variable.
    """
    return (_jax if devices.name() == "jax" else _tensorflow)(model)


def _jax(model: Any) -> Callable[[Any], np.ndarray]:
    import jax

    jnp = jax.numpy

    def outputs(values: list, fixed: list, example: Any) -> Any:
        batch = jax.tree_util.tree_map(lambda x: x[None], example)
        predicted, _ = model.stateless_call(values, fixed, batch, training=False)
        return jnp.reshape(predicted, (-1,))

    def flat(values: list, fixed: list, example: Any) -> Any:
        flattened = jax.jacrev(outputs)(values, fixed, example)
        return jnp.concatenate([jnp.reshape(x, (x.shape[0], -1)) for x in flattened], 1)

    every = jax.jit(jax.vmap(flat, (None, None, 0)))

    def jacobian(batch: Any) -> np.ndarray:
        values = [v.value for v in model.trainable_variables]
        fixed = [v.value for v in model.non_trainable_variables]
        return np.asarray(every(values, fixed, batch))

    return jacobian


def _tensorflow(model: Any) -> Callable[[Any], np.ndarray]:
    tf = devices.tensorflow()
    values = [v.value for v in model.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO

    def flat(example: Any) -> Any:
        batch = tf.nest.map_structure(lambda x: x[None], example)
        with tf.GradientTape() as tape:
            row = tf.reshape(model(batch, training=False), (-1,))
        parts = tape.jacobian(row, values, unconnected_gradients=zero)
        return tf.concat([tf.reshape(x, (tf.shape(row)[0], -1)) for x in parts], 1)

    @tf.function(reduce_retracing=True)
    def every(batch: Any) -> Any:
        # One after the other: every operation that has a gradient can be used.
        return tf.map_fn(flat, batch, fn_output_signature=values[0].dtype)

    def jacobian(batch: Any) -> np.ndarray:
        return every(tf.nest.map_structure(tf.convert_to_tensor, batch)).numpy()

    return jacobian
