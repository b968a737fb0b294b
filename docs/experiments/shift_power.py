"""How often do the tests of `kphotoz.shift` raise a false alarm, and what do they find?

Samples of the mock catalogue's photometry, disjoint and drawn anew for each pair, of
which the second is changed: not at all, 0.1 mag in g alone, 0.1 mag in all bands, 1 mag
shallower, and the same with the depth matched again. The features are magnitudes and
colours with their errors, as `kphotoz shift` calls hand-made. Needs the package, no
network; the last line is JSON.

    python docs/experiments/shift_power.py            # 1,000 pairs for false alarms
    python docs/experiments/shift_power.py --quick    # 40 pairs
"""

import argparse
import json

import numpy as np

from kphotoz import data, features, shift

DIM = 10**-0.04  # a flux 0.1 mag fainter
SHALLOW = 10**0.4  # noise of a survey 1 mag shallower


def main() -> None:
    """Prints one line per change and test, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000, help="of false alarms")
    parser.add_argument("--changed", type=int, default=200, help="pairs of a change")
    parser.add_argument("--objects", type=int, default=1000, help="of a sample")
    parser.add_argument("--permutations", type=int, default=399)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.changed, options.objects = 40, 10, 200
    pool = photometry(10 * options.objects)
    found = {}
    for name, change in CHANGES.items():
        pairs = options.pairs if name == "nothing" else options.changed
        p = [test(pool, change, seed, options) for seed in range(pairs)]
        for column, method in enumerate(("classifier", "MMD")):
            share = np.mean([row[column] < 0.05 for row in p])
            found[f"{name}, {method}"] = {"share": float(share), "pairs": pairs}
            print(f"{name:20s} {method:10s} p < 0.05 in {share:6.1%} of {pairs} pairs")
    print(json.dumps(found | {"objects": options.objects}))


def photometry(count: int) -> np.ndarray:
    """Returns fluxes and errors (n, 5, 2) of mock galaxies [uJy]."""
    samples = data.open_survey("mock_hsc/photometric_catalog", count=count)
    return np.concatenate([sample.inputs() for sample in samples.values()])


def fainter(band: int | None):
    """Returns a function that dims one band, or all, by 0.1 mag, noise unchanged."""

    def change(source, target, generator):
        target = target.copy()
        target[:, slice(None) if band is None else band, 0] *= DIM
        return source, target

    return change


def shallower(source, target, generator):
    """Returns the target with the noise of a survey 1 mag shallower."""
    target = target.copy()
    extra = target[..., 1] * np.sqrt(SHALLOW**2 - 1)
    target[..., 0] += generator.normal(size=extra.shape) * extra
    target[..., 1] *= SHALLOW
    return source, target


def matched(source, target, generator):
    """Returns a shallower target and the source, made equally deep again."""
    pair = shallower(source, target, generator)
    return shift.match_depth(*pair, seed=int(generator.integers(2**31)))


CHANGES = {
    "nothing": lambda source, target, generator: (source, target),
    "0.1 mag in g": fainter(0),
    "0.1 mag, grey": fainter(None),
    "1 mag shallower": shallower,
    "depth matched": matched,
}


def test(pool, change, seed, options) -> tuple[float, float]:
    """Returns the p-values of the classifier and of MMD for one pair."""
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(pool))[: 2 * options.objects]
    source, target = np.split(pool[chosen], 2)
    source, target = change(source, target, generator)
    softening = features.flux_softening(source)
    tables = [
        features.catalog_photometry(sample, softening) for sample in (source, target)
    ]
    how = {"permutations": options.permutations, "seed": seed}
    return (
        shift.classifier_test(*tables, **how).p,
        shift.mmd_test(*tables, **how).p,
    )


if __name__ == "__main__":
    main()
