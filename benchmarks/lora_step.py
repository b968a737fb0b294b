"""Times a training step with LoRA against full fine-tuning, Keras and PEFT.

Aim: on a CPU with bfloat16 instructions kphotoz' LoRA makes at least 1.4 times as many
steps in bfloat16 as Keras' `enable_lora`, and 1.2 times as many as PEFT; in float32 1.1
times as many as `enable_lora`. docs/results/lora_step.md says what was reached.

Rivals: `enable_lora` of Keras 3 on the same layers; PEFT on PyTorch, channels last,
with autocast for bfloat16; full fine-tuning in Keras. Like for like: rank 4 on every
convolution and linear layer that kphotoz adapts, batch normalisation in inference mode
in all but full fine-tuning, no dropout, AdamW, no jit. `kphotoz` is the model as
`apply` returns it; `kphotoz-folded` the same after `fold_training` and `fuse_training`;
`enable_lora-fused` is Keras' after `fuse_training`, to tell the two apart; `bound` has
no gradient of any kernel but the first layer's. The Keras sides take turns step by step
in one process, the base and the merged models likewise in predictions; PEFT has a
process between them. Peak memory is that of processes with one side alone. Where a CPU
has no bfloat16 instructions only float32 is measured. The last line is JSON: medians
and ratios.

    python benchmarks/lora_step.py --quick
    python benchmarks/lora_step.py --peft /path/to/python/with/torch/and/peft
"""

import argparse
import functools
import importlib.metadata
import itertools
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

BANDS, SIZE, RANK = 5, 64, 4
# Of the small vision transformer.
PATCH, WIDTH, DEPTH, HEADS, MLP = 8, 192, 6, 3, 768
FORMS = ["kphotoz-folded", "kphotoz-kernel", "enable_lora-fused", "bound"]
AIMS = {
    ("enable_lora", "bfloat16"): 1.4,
    ("enable_lora", "float32"): 1.1,
    ("peft", "bfloat16"): 1.2,
}


def resnet():
    """Returns a ResNet-18 with a regressor, as a flat graph."""
    import keras

    from kphotoz.models.resnet import resnet18_trunk

    images = keras.Input((SIZE, SIZE, BANDS))
    return keras.Model(images, keras.layers.Dense(1)(resnet18_trunk({}, images)))


def vit():
    """Returns a small vision transformer of Keras layers."""
    import keras
    from keras import layers

    images = keras.Input((SIZE, SIZE, BANDS))
    x = layers.Conv2D(WIDTH, PATCH, PATCH, name="patches")(images)
    x = layers.Reshape((-1, WIDTH))(x)
    for _ in range(DEPTH):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
        x = layers.Add()([x, y])
        y = layers.Dense(MLP, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(images, layers.Dense(1)(x))


MODELS = {"resnet18": resnet, "vit": vit}


def keras_side(side: str, name: str):
    """Returns a model as one of the Keras sides trains it."""
    import keras

    from kphotoz import adapters
    from kphotoz.adapters.paths import walk

    base = MODELS[name]()
    if side == "full":
        return base
    if side.startswith("kphotoz"):
        form = "kernel" if side == "kphotoz-kernel" else None
        model = adapters.apply(base, RANK, formulation=form)
        if side == "kphotoz-folded":
            adapters.fold_training(model)
            adapters.fuse_training(model)
        return model
    if side == "bound":
        _, *others = (x for x in walk(base).values() if x.weights)
        for layer in others:
            layer.trainable = False
        return base
    chosen = {c.path for c in adapters.plan(base, RANK) if not c.skipped}
    for path, layer in walk(base).items():
        if path in chosen:
            layer.enable_lora(RANK)
            if layer.bias is not None:
                layer.bias.trainable = False
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        else:
            for variable in layer.weights:
                if not any(variable.path.startswith(f"{p}/") for p in chosen):
                    variable.trainable = False
    if side == "enable_lora-fused":
        adapters.fuse_training(base)
    return base


def start_keras(precision: str, batch: int):
    """Sets Keras up; returns images and labels on the device."""
    # TensorFlow leaves its fast kernels off on some CPUs; all sides of Keras get them.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import keras
    import numpy as np

    policy = {"bfloat16": "mixed_bfloat16"}.get(precision, precision)
    keras.config.set_dtype_policy(policy)
    x = np.random.default_rng(0).normal(size=(batch, SIZE, SIZE, BANDS))
    x, y = x.astype("float32"), np.zeros((batch, 1), "float32")
    return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)


def run_keras(sides: str, name: str, precision: str, batch: int, steps: int) -> dict:
    """Times training steps of sides joined by "+", which take turns step by step."""
    x, y = start_keras(precision, batch)
    import keras

    calls = {}
    for side in sides.split("+"):
        model = keras_side(side, name)
        model.compile(keras.optimizers.AdamW(1e-4), "mse", jit_compile=False)
        calls[side] = functools.partial(model.train_on_batch, x, y)
    return timed(calls, steps)


def run_predictions(name: str, precision: str, batch: int, steps: int) -> dict:
    """Times the plain base against merged models, batch by batch in one process."""
    x, _ = start_keras(precision, batch)
    from kphotoz import adapters

    base = MODELS[name]()
    merged = adapters.merge(adapters.apply(base, RANK))
    models = {"base": base, "merged": merged}
    if name == "resnet18":  # the other has no normalisation of batches
        models["merged-folded"] = adapters.fold(merged)
    for model in models.values():
        model.compile(jit_compile=False)
    calls = {
        side: functools.partial(m.predict_on_batch, x) for side, m in models.items()
    }
    return timed(calls, 3 * steps)


def run_peft(name: str, precision: str, batch: int, steps: int) -> dict:
    """Times steps of PEFT on the same network in PyTorch."""
    import contextlib

    import peft
    import torch
    from torch_models import MODELS as torch_models

    torch.manual_seed(0)
    base = torch_models[name](BANDS, SIZE)
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    targets = [n for n, m in base.named_modules() if isinstance(m, kinds)]
    targets = [n for n in targets if n != base.head_name]  # rank 4 is no smaller there
    model = peft.get_peft_model(
        base, peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets)
    )
    model = model.to(memory_format=torch.channels_last).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    moving = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=1e-4)
    x = torch.randn(batch, BANDS, SIZE, SIZE).to(memory_format=torch.channels_last)
    y = torch.zeros(batch, 1)

    def step():
        cast = torch.autocast("cpu", torch.bfloat16)
        with cast if precision == "bfloat16" else contextlib.nullcontext():
            loss = torch.nn.functional.mse_loss(model(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return timed({"peft": step}, steps)


def timed(calls: dict, steps: int) -> dict:
    """Returns the median seconds of each call after three warm ones, and the peak."""
    seconds: dict = {name: [] for name in calls}
    for _ in range(3 + steps):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    medians = {name: statistics.median(each[3:]) for name, each in seconds.items()}
    return medians | {"peak_gb": peak}


def measure(python: str, *arguments: str) -> dict:
    """Runs one side in a process of its own."""
    command = [python, __file__, "--side", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> tuple[dict, dict]:
    """Returns {(model, precision, side): seconds of each turn}, and peaks in GB."""
    pair = ["enable_lora", "kphotoz"]
    sides = "+".join(pair if options.quick else ["full", *pair, *FORMS])
    seconds: dict = {}
    peaks: dict = {}
    for name, precision in itertools.product(options.models, options.precisions):
        what = (name, precision, *map(str, options.size))
        for _ in range(options.repeats):
            found = measure(sys.executable, sides, *what)
            if not options.quick:
                found |= measure(sys.executable, "predict", *what)
            if options.peft:
                found |= measure(options.peft, "peft", *what)
            del found["peak_gb"]
            for side, each in found.items():
                seconds.setdefault((name, precision, side), []).append(each)
            for side in (*pair, "kphotoz-folded"):  # alone, for the peak
                one = measure(sys.executable, side, *what[:3], "2")
                peaks.setdefault((name, precision, side), []).append(one["peak_gb"])
    return seconds, peaks


def has_bfloat16() -> bool:
    """Returns whether the CPU computes in bfloat16; without, it is emulated."""
    info = pathlib.Path("/proc/cpuinfo")
    return info.exists() and "bf16" in info.read_text()


def last_line(seconds: dict, peaks: dict, batch: int) -> dict:
    """Returns the medians and the ratios: of steps a second, seconds and memory."""
    median = {key: statistics.median(turns) for key, turns in seconds.items()}
    peak = {key: statistics.median(turns) for key, turns in peaks.items()}
    ratios = {}
    for (name, precision, side), each in median.items():
        key = f"{name} {precision}"
        if side in ("merged", "merged-folded"):
            plain = median[name, precision, "base"]
            ratios[f"{key} {side} over base"] = round(each / plain, 3)
        elif side != "base":
            for ours in ("kphotoz", "kphotoz-folded"):
                if ours != side and (name, precision, ours) in median:
                    ratio = each / median[name, precision, ours]
                    ratios[f"{key} {ours} over {side}"] = round(ratio, 3)
    for (name, precision, side), each in peak.items():
        if side != "enable_lora":
            ratio = each / peak[name, precision, "enable_lora"]
            key = f"{name} {precision} memory of {side} over enable_lora"
            ratios[key] = round(ratio, 3)
    names = ("keras", "tensorflow", "jax", "kphotoz")
    return {
        "images_per_second": {
            " ".join(key): round(batch / each, 1) for key, each in median.items()
        },
        "peak_gb": {" ".join(key): round(each, 3) for key, each in peak.items()},
        "ratios": ratios,
        "aims": {" ".join(key): value for key, value in AIMS.items()},
        "batch": batch,
        "bfloat16_instructions": has_bfloat16(),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


def main() -> None:
    """Reads the command line and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two sides, few steps")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peft", help="Python that has torch and peft")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    both = ["float32", "bfloat16"] if has_bfloat16() else ["float32"]
    parser.add_argument("--precisions", nargs="+", default=both)
    parser.add_argument("--side", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side, name, precision, batch, steps = options.side
        size = int(batch), int(steps)
        if side == "peft":
            print(json.dumps(run_peft(name, precision, *size)))
        elif side == "predict":
            print(json.dumps(run_predictions(name, precision, *size)))
        else:
            print(json.dumps(run_keras(side, name, precision, *size)))
        return
    options.size = (32, 3) if options.quick else (128, 10)
    options.repeats = 1 if options.quick else options.repeats
    found = last_line(*compare(options), options.size[0])
    for side, rate in found["images_per_second"].items():
        print(f"{side:35} {rate:8.1f} img/s")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
