"""Steps of Adam by which TensorFlow moves a weight and its moments in one operation."""

from typing import Any

from kphotoz.backend import devices

__all__ = ["adam_step"]


def adam_step(
    variable: Any,
    gradient: Any,
    moments: tuple[Any, Any],
    *,
    rate: Any,
    step: Any,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """Moves a weight and its moments on TensorFlow, as `keras.optimizers.Adam` does.

        m <- m + (1 - beta_1) (g - m),    v <- v + (1 - beta_2) (g^2 - v)
        w <- w - rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    Of several devices each moves its copy.

    Args:
        variable: keras.Variable or tf.Variable, the weight w.
        gradient: tensor of its shape, g.
        moments: keras.Variables m and v.
        rate: float or tensor ().
        step: int or tensor (), t, from 1 on.
        betas: beta_1 and beta_2.
        epsilon: float > 0.

    Raises:
        RuntimeError: another backend runs.
    """
    if devices.name() != "tensorflow":
        raise RuntimeError(
            f"`adam_step` needs the backend tensorflow. Received: {devices.name()}."
        )
    tf = devices.tensorflow()
    weight, first, second = (_held(each) for each in (variable, *moments))
    beta_1, beta_2 = (tf.cast(each, weight.dtype) for each in betas)
    step = tf.cast(step, weight.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=weight.handle,
        m=first.handle,
        v=second.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=tf.cast(rate, weight.dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.cast(epsilon, weight.dtype),
        grad=tf.cast(gradient, weight.dtype),
    )


def _held(variable: Any) -> Any:
    """Returns the tf.Variable in a variable of Keras."""
    import keras

    return variable.value if isinstance(variable, keras.Variable) else variable
