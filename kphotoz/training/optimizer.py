"""The optimiser of a training run: decoupled weight decay, warm-up and cosine decay."""

import keras

from kphotoz.training.settings import Training

__all__ = ["build"]


def build(settings: Training, steps: int) -> keras.optimizers.Optimizer:
    """Returns an AdamW optimiser whose rate follows the whole run.

    Args:
        settings: Training. Rate, warm-up fraction, decay, clipping.
        steps: int. Gradient steps of the whole run.
    """
    warmup = max(1, int(settings.warmup * steps)) if settings.warmup else 0
    schedule = keras.optimizers.schedules.CosineDecay(
        # A rate of zero at the first step would leave it without effect.
        initial_learning_rate=settings.learning_rate / (warmup + 1),
        decay_steps=max(1, steps - warmup),
        alpha=0.01,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    if not warmup:
        schedule = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate, decay_steps=max(1, steps), alpha=0.01
        )
    optimizer = keras.optimizers.AdamW(
        learning_rate=schedule,
        weight_decay=settings.weight_decay,
        clipnorm=settings.clip_norm,
        use_ema=settings.ema is not None,
        ema_momentum=settings.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
