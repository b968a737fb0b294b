"""Times the build of a survey in GalaxiesML's layout against reading and writing alone.

Claim: 40,914 galaxies of 64 x 64 pixels in five bands (3.4 GB) build within four times
the time of a plain h5py sequential read and raw write of the same pixels, measured in
the same run, with at most 1.5 GB of memory.

Rival: h5py reads the images in chunks of 256, and the bytes go to one file as they are.
Neither side calls fsync. The file was just written, so both sides read it from the page
cache as far as memory allows. Imports are timed apart. Each measurement is a process of
its own; sides take turns; the last line is JSON with medians.

    python benchmarks/build_survey.py --quick
"""

import argparse
import importlib.metadata
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import write_galaxies_ml

COUNT, QUICK_COUNT = 40_914, 6_000
SMALL = 64  # galaxies in the validation and test files
CHUNK = 256
RATIO, PEAK_GB = 4.0, 1.5  # what is claimed


def rival(folder: pathlib.Path, out: pathlib.Path) -> dict[str, float]:
    """Reads every image of `folder` and writes its bytes to one file in `out`."""
    import h5py

    out.mkdir(parents=True)
    start = time.perf_counter()
    with open(out / "raw", "wb") as target:
        for path in sorted(folder.glob("*.hdf5")):
            with h5py.File(path, "r") as source:
                images = source["image"]
                for first in range(0, len(images), CHUNK):
                    target.write(images[first : first + CHUNK].data)
    return {"seconds": time.perf_counter() - start, "import_seconds": 0.0}


def build(folder: pathlib.Path, out: pathlib.Path) -> dict[str, float]:
    """Builds galaxies_ml/images_64 of the files in `folder` with data folder `out`."""
    start = time.perf_counter()
    import tensorflow

    from kphotoz_datasets.galaxies_ml import galaxies_ml_dataset_builder as module

    assert tensorflow.__version__  # TFDS would import it while the clock runs
    imported = time.perf_counter()
    config = module.config("images_64", manual_dir=str(folder))
    builder = module.Builder(config=config, data_dir=out)
    builder.download_and_prepare()
    seconds = time.perf_counter() - imported
    return {
        "seconds": seconds,
        "import_seconds": imported - start,
        "rows": builder.info.splits.total_num_examples,
    }


SIDES = {"rival": rival, "build": build}


def measure(side: str, folder: pathlib.Path, work: pathlib.Path) -> dict[str, float]:
    """Runs one side in a process of its own; what it wrote is removed."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--side", side, str(folder), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def run_side(side: str, folder: str, out: str) -> None:
    """Prints what one side measured, with the process' peak memory."""
    found = SIDES[side](pathlib.Path(folder), pathlib.Path(out))
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found | {"peak_gb": kilobytes * 1024 / 1e9}))


def compare(count: int, repeats: int, work: pathlib.Path) -> dict:
    """Returns medians of both sides on newly written files of `count` galaxies."""
    folder = work / "files"
    sizes = (count - 2 * SMALL, SMALL, SMALL)
    # So thin that the default selection leaves out hardly a row.
    write_galaxies_ml.write_set(folder, "galaxies_ml", sizes, density=10.0)
    runs = {side: [] for side in SIDES}
    for repeat in range(repeats):
        for side in SIDES:
            found = measure(side, folder, work)
            runs[side].append(found)
            print(f"{side} {repeat + 1}/{repeats}: {found}", flush=True)

    def median(side: str, key: str) -> float:
        return round(statistics.median(run[key] for run in runs[side]), 3)

    seconds = {side: median(side, "seconds") for side in SIDES}
    return {
        "benchmark": "build_survey",
        "galaxies": count,
        "gigabytes": round(count * 5 * 64 * 64 * 4 / 1e9, 3),
        "rows_built": runs["build"][0]["rows"],
        "rival": "h5py sequential read and raw write of the images",
        "rival_seconds": seconds["rival"],
        "build_seconds": seconds["build"],
        "build_range": [
            round(f(run["seconds"] for run in runs["build"]), 3) for f in (min, max)
        ],
        "import_seconds": median("build", "import_seconds"),
        "ratio": round(seconds["build"] / seconds["rival"], 2),
        "peak_gb": round(max(run["peak_gb"] for run in runs["build"]), 3),
        "claimed": {"ratio": RATIO, "peak_gb": PEAK_GB},
        "repeats": repeats,
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("numpy", "h5py", "tensorflow", "tensorflow-datasets")
        },
    }


def main() -> None:
    """Writes files, measures, and removes the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_COUNT} galaxies")
    parser.add_argument("--count", type=int, help="galaxies in all files together")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where to write [default: a temporary one]")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        run_side(*chosen.side)
        return
    count = chosen.count or (QUICK_COUNT if chosen.quick else COUNT)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as work:
        result = compare(count, chosen.repeats, pathlib.Path(work))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
