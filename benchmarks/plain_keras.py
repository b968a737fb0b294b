"""The main job as one would write it with Keras alone: the rival of main_job.py.

A base on the source, then six ways to the target, one `fit` after the other, with
`compile`'s and TensorFlow's own choices. Network, loss, rates, epochs, batches and
samples are those of kphotoz' recipe, weights are averaged and the best epoch is kept:
both sides do the same work. `--jit off` takes from `compile` its choice of XLA,
`--precision` sets Keras' policy; by TF_ENABLE_ONEDNN_OPTS=1 the kernels are made equal
too. The last line is JSON: NMAD of every regime and seed on the deep test galaxies,
against their true redshift.
"""

import argparse
import json
import math

import keras
import numpy as np
import tensorflow_datasets as tfds

from kphotoz import losses, models

SPLITS = ("train", "validation", "test")


def load(labels: str, count: int) -> dict:
    """Returns images, labels and true redshifts of the splits of a mock survey."""
    from kphotoz import data

    survey = data.open_survey(f"mock_hsc/{labels}", count=count)  # built before
    return {
        split: (
            survey[split].inputs(),
            survey[split].table["redshift"],
            survey[split].table["z_true"],
        )
        for split in SPLITS
    }


def fresh(split: tuple, seed: int) -> keras.Model:
    """Returns the network of the recipe, fitted to the noise of a training split."""
    images, labels, _ = split
    return models.build_photoz(
        {"name": "small_cnn", "branch": "both"},
        images[:2000],
        labels[:2000],
        bands="grizy",
        pixel_scale=0.168,
        seed=seed,
    )


def fit(model: keras.Model, train: tuple, validation: tuple, epochs: int, jit) -> None:
    """Trains a model with the recipe's settings and keeps its best epoch."""
    images, labels, _ = train
    steps = math.ceil(len(labels) / 64)
    warmup = int(0.05 * steps * epochs)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps * epochs - warmup,
        warmup_target=4e-3,
        warmup_steps=warmup,
    )
    model.compile(
        keras.optimizers.AdamW(
            rate, weight_decay=1e-2, clipnorm=1.0, use_ema=True, ema_momentum=0.99
        ),
        losses.RobustLoss(),
        jit_compile=jit,
    )
    model.fit(
        images,
        labels,
        batch_size=64,
        epochs=epochs,
        validation_data=validation[:2],
        callbacks=[
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            keras.callbacks.EarlyStopping(
                patience=epochs, restore_best_weights=True, start_from_epoch=0
            ),
        ],
        verbose=0,
    )


def adapted(base: keras.Model, regime: str) -> keras.Model:
    """Returns a copy of the base in which the regime's weights move."""
    model = keras.models.clone_model(base)
    model.set_weights(base.get_weights())
    for layer in model.layers:
        if regime == "lora" and hasattr(layer, "enable_lora"):
            kernel = layer.kernel.shape
            if min(kernel[-2:]) > 4:
                layer.enable_lora(4)
                continue
        layer.trainable = {
            "linear_probe": layer.name in ("head_bins", "head_redshift"),
            "transfer": layer.name == "stem_conv" or layer.name.startswith("head_"),
            "full": True,
            "lora": False,
        }[regime]
    return model


def nmad(model: keras.Model, split: tuple) -> float:
    """Returns sigma_NMAD of (z - z_true) / (1 + z_true)."""
    images, _, true = split
    z = model.predict(images, batch_size=256, verbose=0)[:, 0]
    error = (z - true) / (1 + true)
    return float(1.4826 * np.median(np.abs(error - np.median(error))))


def run(seed: int, epochs: int, jit, source: dict, target: dict) -> dict:
    """Returns the NMAD of the base and of six regimes."""

    def train(model: keras.Model, train: tuple, validation: tuple) -> float:
        fit(model, train, validation, epochs, jit)
        return nmad(model, source["test"])

    keras.utils.set_random_seed(seed)
    base = fresh(source["train"], seed)
    found = {"base": train(base, source["train"], source["validation"])}
    found["zero_shot"] = nmad(base, source["test"])
    for regime in ("linear_probe", "transfer", "full", "lora"):
        model = adapted(base, regime)
        found[regime] = train(model, target["train"], target["validation"])
    both = tuple(
        np.concatenate(pair)
        for pair in zip(source["train"], target["train"], strict=True)
    )
    found["combined"] = train(fresh(both, seed), both, target["validation"])
    return found


def main() -> None:
    """Runs the job and prints what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=int, default=3000)
    parser.add_argument("--target", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jit", choices=["auto", "off"], default="auto")
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    keras.config.set_dtype_policy(options.precision)
    tfds.disable_progress_bar()
    source = load("photometric", options.source)
    target = load("spectroscopic", options.target)
    jit = {"auto": "auto", "off": False}[options.jit]
    found = [
        run(seed, options.epochs, jit, source, target) for seed in range(options.seeds)
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
