"""Runs the adapter contract on every model of keras.applications and keras_hub.

Aim: each keeps every clause of `kphotoz.testing.run_adapter_contract`, or is refused in
one line that says why. docs/lora.md holds the table.

Models of keras.applications are whole, with random weights, five bands and images of
the smallest size that their constructors take. On JAX, which compiles each step for
minutes, the smallest of each family stands for it. Backbones of keras_hub are of two
layers or stages and widths of about 16. Each model runs in a process of its own, and
`--results` keeps what was found, so that a run can go on where another stopped; without
`--again` a model that kept the contract is not run again. The last line is JSON.

    python benchmarks/adapter_families.py --quick
    python benchmarks/adapter_families.py --results families.json
    python benchmarks/adapter_families.py --results families.json --backend jax
    python benchmarks/adapter_families.py --results families.json --write-docs
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "lora.md"
QUICK = ("MobileNet", "BertBackbone")
LAST = "families: "  # starts a worker's last line


def work(name: str) -> dict:
    """Returns what the contract says of one model, in this process."""
    from families import CASES, check

    case, start = CASES[name], time.perf_counter()
    found: dict = {"status": "works", "inputs": shapes(case.inputs())}
    try:
        found |= dataclasses.asdict(check(case))
    except AssertionError as error:
        # A model that `apply` refuses in words of its own is no failure.
        refusal = re.match(r"Adapter contract, adapt: InputError: (.*)", str(error))
        found["status"] = "refused" if refusal else "fails"
        found["reason"] = refusal.group(1) if refusal else str(error)
    except Exception as error:
        found |= {"status": "fails", "reason": f"{type(error).__name__}: {error}"}
    found["seconds"] = round(time.perf_counter() - start, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"peak_gb": round(peak * 1024 / 1e9, 2)}


def shapes(inputs) -> str:
    """Returns inputs as a reader of the table wants them: shapes of one row."""
    if isinstance(inputs, list | tuple):
        return ", ".join(map(shapes, inputs))
    if isinstance(inputs, dict):
        return ", ".join(f"{name} {shapes(x)}".strip() for name, x in inputs.items())
    return " × ".join(map(str, inputs.shape[1:]))


def turn(name: str, backend: str, limit: float) -> dict:
    """Returns what `work` says of a model in a process of its own."""
    command = [sys.executable, __file__, "--worker", name]
    os.environ["KERAS_BACKEND"] = backend
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        found = {"status": "fails", "reason": f"not done after {limit:.0f} s"}
    else:
        lines = [x for x in done.stdout.splitlines() if x.startswith(LAST)]
        if lines:
            found = json.loads(lines[-1].removeprefix(LAST))
        else:
            last = (done.stderr.splitlines() or [""])[-1]
            reason = f"ended with {done.returncode}: {last}"
            found = {"status": "fails", "reason": reason}
    names = ("keras", "keras-hub", "kphotoz", backend)
    versions = {name: importlib.metadata.version(name) for name in names}
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return found | {"versions": versions, "date": day}


def chosen(options: argparse.Namespace) -> list[str]:
    """Returns the names of the models to run."""
    from families import CASES
    from families.table import smallest

    names = QUICK if options.quick else list(CASES)
    if options.backend == "jax" and not options.only:
        names = [name for name in names if name in smallest(CASES)]
    return [name for name in names if re.search(options.only or "", name)]


def run(options: argparse.Namespace) -> dict:
    """Runs what is chosen and not yet known, and returns all that is known."""
    path = options.results
    results = json.loads(path.read_text()) if path and path.exists() else {}
    for name in chosen(options):
        key = f"{name} {options.backend}"
        if results.get(key, {}).get("status") == "works" and not options.again:
            continue
        results[key] = turn(name, options.backend, options.timeout)
        one = results[key]
        print(f"{key:42} {one['status']:8} {one.get('seconds', 0):6.1f} s", flush=True)
        if "reason" in one:
            print(f"    {one['reason']}", flush=True)
        if path:
            path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    return results


def main() -> None:
    """Reads the command line and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two models only")
    known = os.environ.get("KERAS_BACKEND", "tensorflow")
    parser.add_argument("--backend", choices=("tensorflow", "jax"), default=known)
    parser.add_argument("--only", help="pattern of model names, also on JAX")
    parser.add_argument("--results", type=pathlib.Path, help="JSON file to keep")
    parser.add_argument("--again", action="store_true", help="run known ones too")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a model")
    help = "only write the table of --results into docs/lora.md"
    parser.add_argument("--write-docs", action="store_true", help=help)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Halves the time that JAX takes for compiling.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    if options.worker:
        print(LAST + json.dumps(work(options.worker)))
        return
    if options.write_docs:
        from families.table import write

        results = json.loads(options.results.read_text())
        write(results, PAGE)
    else:
        results = run(options)
    counts: dict = {}
    for each in results.values():
        counts[each["status"]] = counts.get(each["status"], 0) + 1
    models = {key: each["status"] for key, each in sorted(results.items())}
    print(json.dumps({"counts": counts, "models": models}))


if __name__ == "__main__":
    main()
