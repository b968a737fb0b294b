"""Times the refit of a last layer from 100,000 rows of 512 features.

Aims: 30 s or less on 2 cores, 2 GB or less, and the coefficients of scikit-learn's
Ridge to 1e-6. docs/results/kernels.md says what was reached.

Sides, each in a process of its own, from inputs in memory to coefficients:

    kphotoz        `ConjugateKernel.fit` of a network 20 -> 512 -> 1 with tanh: the
                   features are computed anew for every pass
    left-out       the same with the ridge chosen among 73 by leave-one-out
    features       `ConjugateKernel.fit_features` of the features, in memory
    scikit-learn   `Ridge` of the features, in memory, with the same penalty on the
                   constant, by Cholesky as it chooses by itself

Peak memory is that of the whole process, the libraries and the rows among it. The last
line is JSON.

    python benchmarks/refit.py --quick
    KERAS_BACKEND=jax python benchmarks/refit.py
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

SIDES = ("kphotoz", "left-out", "features", "scikit-learn")
COLUMNS = 20  # of the inputs
RIDGE = 1.0


def sample(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs (rows, 20) float32 and noisy targets (rows,)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, COLUMNS), np.float32)
    y = np.sin(x @ rng.standard_normal(COLUMNS)) + 0.1 * rng.standard_normal(rows)
    return x, y


def network(width: int):
    """Returns a network with one hidden layer and random weights, always the same."""
    import keras

    rng = np.random.default_rng(1)
    inputs = keras.Input((COLUMNS,))
    hidden = keras.layers.Dense(width, "tanh")
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden(inputs)))
    kernel = rng.standard_normal((COLUMNS, width)) / np.sqrt(COLUMNS)
    hidden.set_weights([kernel.astype("float32"), np.zeros(width, "float32")])
    return model


def work(side: str, rows: int, width: int, out: str) -> dict:
    """Returns the seconds and the peak memory in GB of one fit; writes coefficients."""
    from kphotoz.kernels import ConjugateKernel

    x, y = sample(rows)
    kernel = ConjugateKernel(network(width), batch_size=2048)
    features = None
    if side in ("features", "scikit-learn"):
        features = np.concatenate([*kernel.features.blocks(x)])
    else:
        next(kernel.features.blocks(x))  # compiles
    start = time.perf_counter()
    if side == "scikit-learn":
        from sklearn.linear_model import Ridge

        constant = np.ones((rows, 1))
        model = Ridge(RIDGE, fit_intercept=False, copy_X=False)
        model.fit(np.concatenate([features, constant], axis=1), y)
        coefficients = model.coef_
    elif side == "features":
        coefficients = kernel.fit_features(features, y, ridge=RIDGE).coefficients
    else:
        ridge = "left_out" if side == "left-out" else RIDGE
        coefficients = kernel.fit(x, y, ridge=ridge).coefficients
    seconds = time.perf_counter() - start
    np.save(out, coefficients.ravel())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_gb": peak * 1024 / 1e9}


def turn(side: str, options: argparse.Namespace, out: pathlib.Path) -> dict:
    """Returns what `work` measured in a process of its own."""
    command = [sys.executable, __file__, "--worker", side, "--out", str(out)]
    command += ["--rows", str(options.rows), "--width", str(options.width)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> dict:
    """Returns medians of the sides, and how far ours is from scikit-learn's."""
    found: dict = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        files = {side: pathlib.Path(folder) / f"{side}.npy" for side in SIDES}
        for _ in range(options.turns):
            for side in SIDES:
                found[side].append(turn(side, options, files[side]))
        theirs = np.load(files["scikit-learn"])
        apart = {
            side: float(np.abs(np.load(files[side]) - theirs).max())
            for side in ("kphotoz", "features")
        }
    return {
        "seconds": {side: middle(found[side], "seconds") for side in SIDES},
        "peak_gb": {side: middle(found[side], "peak_gb") for side in SIDES},
        "largest_difference": apart,
        "largest_coefficient": float(np.abs(theirs).max()),
        "claimed": {"seconds": 30, "peak_gb": 2, "largest_difference": 1e-6},
        "rows": options.rows,
        "width": options.width,
        "turns": options.turns,
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("keras", "kphotoz", "numpy", "scikit-learn")
        },
    }


def middle(found: list[dict], name: str) -> float:
    """Returns the median over turns."""
    return round(statistics.median(each[name] for each in found), 3)


def main() -> None:
    """Reads the command line and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn, 20,000 rows")
    parser.add_argument("--rows", type=int, help="[default: 100,000]")
    parser.add_argument("--width", type=int, default=512, help="[default: 512]")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options.turns = 1 if options.quick else 3
    options.rows = options.rows or (20_000 if options.quick else 100_000)
    if options.worker:
        rest = (options.rows, options.width, options.out)
        print(json.dumps(work(options.worker, *rest)))
        return
    found = measure(options)
    for side in SIDES:
        seconds, peak = found["seconds"][side], found["peak_gb"][side]
        print(f"{side:14} {seconds:8.2f} s {peak:8.2f} GB")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
