"""Does a measure of shift tell how much accuracy a network loses?

A catalogue network is trained on mock galaxies with exact redshifts. Then 51 targets
are made of other galaxies of the same survey by one change each: zero points, depth,
limits in magnitude or redshift, noise in the labels. For each target: the measures of
`kphotoz shift`, the loss of accuracy that really follows, and which of four ways wins
with 300 labels of the target: the network as it is, a refit of its last layer, training
all of it, a new network. Accuracy is sigma_NMAD, which sees no bias, and the typical
error 1.4826 median |dz|, which does. The last line is JSON.

    python docs/experiments/shift_and_loss.py            # five networks
    python docs/experiments/shift_and_loss.py --quick    # one, smaller, 11 targets
"""

import argparse
import itertools
import json

import keras
import numpy as np
import scipy.stats

from kphotoz import data, metrics, models, shift
from kphotoz.kernels import ConjugateKernel
from kphotoz.shift.losses import accuracy
from kphotoz.shift.views import Views

BANDS = ("g", "r", "i", "z", "y")
LABELS = 300  # of the target, to adapt with
WAYS = ("as it is", "refit", "full", "from scratch")
MEASURES = (
    "AUC, trained",
    "AUC, random weights",
    "AUC, hand-made",
    "MMD, trained",
    "Frechet, trained",
    "outside, hand-made",
    "expected change",
)


def main() -> None:
    """Prints one line per target, then correlations, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--count", type=int, default=12000, help="galaxies")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    seeds, count = (1, 3000) if options.quick else (options.seeds, options.count)
    changes = list(CHANGES.items())[:: 5 if options.quick else 1]
    pool = galaxies(count)
    rows = []
    for seed in range(seeds):
        rows += experiment(pool, changes, seed, epochs=4 if options.quick else 30)
    print(json.dumps(summary(rows) | {"targets": len(changes), "networks": seeds}))


def galaxies(count: int) -> dict[str, np.ndarray]:
    """Returns photometry, true redshifts and i magnitudes of all splits."""
    splits = data.open_survey("mock_hsc/exact-deep-deep_catalog", count=count).values()
    tables = [sample.table for sample in splits]
    return {
        "inputs": np.concatenate([sample.inputs() for sample in splits]),
        "z": np.concatenate([table["redshift"] for table in tables]).astype(float),
        "i": np.concatenate([table["magnitude"] for table in tables]).astype(float),
    }


def experiment(pool, changes, seed, epochs) -> list[dict[str, float]]:
    """Returns the measures and losses of every target for one network."""
    order = np.random.default_rng(seed).permutation(len(pool["z"]))
    train, test, rest = np.split(order, [len(order) // 2, len(order) * 5 // 8])
    model = trained(pool["inputs"][train], pool["z"][train], seed, epochs)
    source = {name: column[test] for name, column in pool.items()}
    views = Views(model, source["inputs"], BANDS, seed=seed)
    seen = views(source["inputs"])
    rows = []
    for name, change in changes:
        target = {key: column[rest].copy() for key, column in pool.items()}
        target = change(target, np.random.default_rng([seed, 1]))
        found = measures(model, views, source, seen, target)
        errors = adapted(model, target, seed)
        found["won error"] = errors["as it is"] - errors["refit"]
        rows.append({"target": name, **found, "best": min(errors, key=errors.get)})
        found = rows[-1]
        print(
            f"{seed} {name:24s} AUC {found['AUC, trained']:.3f} "
            f"{found['AUC, hand-made']:.3f}  expected {found['expected change']:+.4f}"
            f"  lost {found['lost error']:+.4f}  won {found['won error']:+.4f}"
            f"  best {found['best']}",
            flush=True,
        )
    return rows


def trained(inputs, z, seed, epochs, batch_size=256) -> keras.Model:
    """Returns a network fitted to exact labels."""
    model = models.build_photoz(
        {"name": "catalog_mlp"}, inputs, z, bands=BANDS, pixel_scale=None, seed=seed
    )
    steps = epochs * len(z) // batch_size + 1
    rate = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "mae")
    keras.utils.set_random_seed(seed)
    model.fit(inputs, z, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


def measures(model, views, source, seen, target) -> dict[str, float]:
    """Returns the measures of shift of one target, and its loss of accuracy."""
    asked = views(target["inputs"])
    how = {"permutations": 19}
    found = {
        f"AUC, {view}": shift.classifier_test(seen[view], asked[view], **how).statistic
        for view in ("trained", "random weights", "hand-made")
    }
    pair = seen["trained"], asked["trained"]
    found["MMD, trained"] = shift.mmd_test(*pair, **how).statistic
    found["Frechet, trained"] = shift.frechet_test(*pair, **how).statistic
    tables = [views.physical("hand-made", x["hand-made"]) for x in (seen, asked)]
    found["outside, hand-made"] = shift.Support(tables[0]).outside(tables[1])
    predicted = [
        np.asarray(model.predict(x["inputs"], verbose=0), float)[:, 0]
        for x in (source, target)
    ]
    weights = shift.density_ratio(*pair)
    told = accuracy(
        (predicted[0], source["z"]),
        (np.full(predicted[1].size, np.nan), target["z"]),
        weights,
    )["change"]["nmad"]
    found["expected change"] = np.nan if told is None else told
    for name, score in (("scatter", metrics.nmad), ("error", typical_error)):
        after, before = (
            score(z, sample["z"])
            for z, sample in zip(predicted[::-1], (target, source), strict=True)
        )
        found[f"lost {name}"] = after - before
    return found


def adapted(model, target, seed) -> dict[str, float]:
    """Returns the typical error of each of WAYS on objects that none has learned from.

    Rates and epochs are our choice, made before the first run.
    """
    known, held = (
        {name: column[part] for name, column in target.items()}
        for part in (slice(None, LABELS), slice(LABELS, None))
    )
    kernel = ConjugateKernel(model, around="network")
    kernel.fit(known["inputs"], known["label"], ridge="left_out")
    tuned = keras.models.clone_model(model)
    tuned.set_weights(model.get_weights())
    tuned.compile(keras.optimizers.Adam(1e-3), "mae")
    tuned.fit(known["inputs"], known["label"], epochs=20, batch_size=32, verbose=0)
    new = trained(known["inputs"], known["label"], seed, 40, 32)
    networks = (model, kernel.refit(), tuned, new)
    return {
        way: typical_error(network.predict(held["inputs"], verbose=0)[:, 0], held["z"])
        for way, network in zip(WAYS, networks, strict=True)
    }


def typical_error(z, truth) -> float:
    """Returns 1.4826 median |dz|, which a bias makes larger."""
    return 1.4826 * float(np.median(np.abs(z - truth) / (1 + truth)))


def summary(rows) -> dict:
    """Returns rank correlations over targets and networks.

    Of each measure with the scatter and the error lost, and with what the refit wins;
    `inputs` leaves out the targets whose labels alone were changed.
    """
    inputs = [row for row in rows if not row["target"].startswith("label")]
    found = {}
    for measure in MEASURES:
        found[measure] = {
            f"{name}, {which}": correlation(part, measure, name)
            for which, part in (("all", rows), ("inputs", inputs))
            for name in ("lost scatter", "lost error", "won error")
        }
        told = ", ".join(f"{name} {r:+.2f}" for name, r in found[measure].items())
        print(f"{measure:20s} {told}")
    return {"correlations": found, "best": winners(rows)}


def winners(rows) -> dict:
    """Returns how often each way is the best, by the AUC of trained features."""
    found = {}
    for low, high in itertools.pairwise((0.0, 0.55, 0.65, 0.75, 0.85, 1.0)):
        part = [r["best"] for r in rows if low < r["AUC, trained"] <= high]
        found[f"AUC {low} to {high}"] = {way: part.count(way) for way in WAYS}
    return found


def correlation(rows, measure, name) -> float:
    """Returns Spearman's rank correlation where the measure is known."""
    pairs = np.array([[row[measure], row[name]] for row in rows])
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    return float(scipy.stats.spearmanr(*pairs.T).statistic)


def zero_point(band, size):
    """Returns a change that makes one band, or all, fainter by `size` mag."""

    def change(target, generator):
        bands = slice(None) if band is None else BANDS.index(band)
        target["inputs"][:, bands, 0] *= 10 ** (-0.4 * size)
        return target | {"label": target["z"]}

    return change


def depth(size):
    """Returns a change to a survey `size` mag shallower."""

    def change(target, generator):
        error = target["inputs"][..., 1]
        extra = error * np.sqrt(10 ** (0.8 * size) - 1)
        target["inputs"][..., 0] += generator.normal(size=error.shape) * extra
        target["inputs"][..., 1] = error * 10 ** (0.4 * size)
        return target | {"label": target["z"]}

    return change


def limits(column, low, high):
    """Returns a change that keeps galaxies between two values of a column."""

    def change(target, generator):
        keep = (target[column] > low) & (target[column] < high)
        target = {name: values[keep] for name, values in target.items()}
        return target | {"label": target["z"]}

    return change


def label_noise(size):
    """Returns a change of the labels alone: a scatter of size (1 + z)."""

    def change(target, generator):
        noise = generator.normal(size=target["z"].size) * size * (1 + target["z"])
        return target | {"label": target["z"] + noise, "z": target["z"] + noise}

    return change


CHANGES = {
    **{
        f"{band or 'all'} {size:+.2f} mag": zero_point(band, size)
        for band in (*BANDS, None)
        for size in (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2)
    },
    **{f"{size} mag shallower": depth(size) for size in (0.5, 1.0, 1.5)},
    **{f"i < {limit}": limits("i", 0, limit) for limit in (21.5, 22.0, 22.5, 23.0)},
    "i > 22.5": limits("i", 22.5, 99),
    **{f"z < {limit}": limits("z", 0, limit) for limit in (0.5, 0.8)},
    **{f"z > {limit}": limits("z", limit, 9) for limit in (0.5, 0.8)},
    **{f"label noise {size}": label_noise(size) for size in (0.02, 0.05, 0.1)},
}


if __name__ == "__main__":
    main()
