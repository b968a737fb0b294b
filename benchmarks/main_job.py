"""Times `kphotoz compare` against the same work in a plain Keras script.

Aim: a base and six regimes (zero_shot, linear_probe, transfer, full, lora, combined) on
the embedded mock survey at least 3 times as fast as benchmarks/plain_keras.py, at equal
NMAD within errors. docs/results/main_job.md says what was reached.

Rivals, each a process from start to end with its imports, the surveys built before:

    plain        plain_keras.py: float32, `compile`'s own choice of jit, TensorFlow's
                 own choice of kernels, one fit after another
    plain-equal  the same with the precision and jit that kphotoz chooses, and oneDNN:
                 what is left is structure
    kphotoz      `kphotoz compare`, with its report
    kphotoz-one  the same with --jobs 1, in full runs only

Both sides have empty caches: every base is trained. Epochs are equal for all fits. The
last line is JSON: medians of seconds, their ratios, NMAD and its spread over seeds.

    python benchmarks/main_job.py --quick
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

REGIMES = ("zero_shot", "linear_probe", "transfer", "full", "lora", "combined")
HERE = pathlib.Path(__file__).parent


def plain(options: argparse.Namespace, equal: bool) -> tuple[float, dict]:
    """Returns the seconds of the plain script and its NMAD by regime and seed."""
    environment = dict(os.environ)
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    if equal:
        environment["TF_ENABLE_ONEDNN_OPTS"] = "1"
    command = [sys.executable, str(HERE / "plain_keras.py")]
    for name in ("source", "target", "epochs", "seeds"):
        command += [f"--{name}", str(getattr(options, name))]
    jit, precision = own_settings(options) if equal else ("auto", "float32")
    command += ["--jit", jit, "--precision", precision]
    seconds, output = timed(command, environment)
    runs = json.loads(output.splitlines()[-1])
    return seconds, {regime: [run[regime] for run in runs] for regime in REGIMES}


def own_settings(options: argparse.Namespace) -> tuple[str, str]:
    """Returns the jit and the precision that kphotoz chooses on this machine."""
    from kphotoz import backend

    jit = "auto" if backend.jit_compile() else "off"
    return jit, "float32" if options.float32 else backend.precision()


def kphotoz(options: argparse.Namespace, jobs: int | None) -> tuple[float, dict]:
    """Returns the seconds of `kphotoz compare` and its NMAD by regime and seed."""
    import numpy as np
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        environment = dict(os.environ)
        environment["KPHOTOZ_CACHE"] = folder + "/cache"
        code = "from kphotoz_cli.main import main; main()"
        command = [sys.executable, "-c", code, "compare", "--out", str(out)]
        command += ["--regimes", ",".join(REGIMES), "--seeds", str(options.seeds)]
        command += ["--precision", "float32"] if options.float32 else []
        command += ["--jobs", str(jobs)] if jobs else []
        for key, value in (
            ("source.options.count", options.source),
            ("target.options.count", options.target),
            ("training.epochs", options.epochs),
            ("training.minimum_steps", 0),
        ):
            command += ["--set", f"{key}={value}"]
        seconds, _ = timed(command, environment)
        found = {}
        for regime in REGIMES:
            found[regime] = []
            for job in sorted((out / "jobs").glob(f"{regime}-f*")):
                table = pq.read_table(job / "predictions.parquet").to_pydict()
                deep = np.array(table["sample"]) == "source"
                z, true = (np.array(table[k])[deep] for k in ("z_pred", "z_true"))
                error = (z - true) / (1 + true)
                spread = np.median(np.abs(error - np.median(error)))
                found[regime].append(float(1.4826 * spread))
    return seconds, found


def timed(command: list[str], environment: dict) -> tuple[float, str]:
    """Returns the seconds that a command took, and what it printed."""
    start = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return time.monotonic() - start, done.stdout


def build(options: argparse.Namespace) -> None:
    """Builds both surveys, which no side is timed for."""
    from kphotoz import data

    data.open_survey("mock_hsc/photometric", count=options.source)
    data.open_survey("mock_hsc/spectroscopic", count=options.target)


def main() -> None:
    """Runs the sides in turn and prints medians, ratios and NMAD."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="One small run a side.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--source", type=int, default=3000)
    parser.add_argument("--target", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--float32", action="store_true", help="On any device.")
    parser.add_argument("--sides", nargs="+", help="Only these, kphotoz among them.")
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.epochs, options.seeds = 1, 3, 1
        options.source, options.target = 1500, 800
    os.environ["KERAS_BACKEND"] = "tensorflow"  # of all sides, and of what they choose
    build(options)
    sides = {
        "plain": lambda: plain(options, False),
        "plain-equal": lambda: plain(options, True),
        "kphotoz": lambda: kphotoz(options, None),
    }
    if not options.quick:
        sides["kphotoz-one"] = lambda: kphotoz(options, 1)
    if options.sides:
        sides = {side: sides[side] for side in options.sides}
    seconds, scores = {side: [] for side in sides}, {}
    for number in range(options.repeats):
        for side, work in sides.items():
            spent, scores[side] = work()
            seconds[side].append(spent)
            print(f"run {number + 1}: {side} {spent:.0f} s", flush=True)
    print(json.dumps(last_line(seconds, scores, vars(options))))


def last_line(seconds: dict, scores: dict, options: dict) -> dict:
    """Returns medians, ratios over kphotoz, and NMAD: mean, standard deviation."""
    medians = {side: statistics.median(runs) for side, runs in seconds.items()}
    return {
        "seconds": {side: round(value, 1) for side, value in medians.items()},
        "runs": {side: [round(x, 1) for x in runs] for side, runs in seconds.items()},
        "ratios": {
            f"{side} over kphotoz": round(value / medians["kphotoz"], 2)
            for side, value in medians.items()
            if side != "kphotoz"
        },
        "nmad": {
            side: {
                regime: [
                    round(statistics.mean(values), 4),
                    round(statistics.stdev(values), 4) if len(values) > 1 else None,
                ]
                for regime, values in found.items()
            }
            for side, found in scores.items()
        },
        "options": {k: v for k, v in options.items() if k != "quick"},
    }


if __name__ == "__main__":
    main()
