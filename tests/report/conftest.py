"""A small comparison, made by hand: nothing here trains."""

import numpy as np
import pytest

from kphotoz import report

REGIMES = {
    "zero_shot": (0.05, 0.00, 0),
    "from_scratch": (0.045, 0.004, 30_000),
    "transfer_paper": (0.06, 0.02, 30_000),
    "lora": (0.040, 0.015, 4_000),
    "combined": (0.036, 0.002, 30_000),
    "my_regime": (0.042, 0.01, 1_000),
}
METRICS = ("nmad", "bias_median", "outlier_015", "catastrophic")
CASES = (
    ("deployment", "z_true"),
    ("source", "label"),
    ("source", "z_true"),
    ("target", "label"),
)


@pytest.fixture(scope="session")
def predictions():
    """Columns of predictions.parquet: six regimes, two seeds, two samples."""
    generator = np.random.default_rng(7)
    parts = []
    for sample, n in (("source", 240), ("target", 160)):
        truth = generator.gamma(4.0, 0.2, n)
        label = truth + 0.02 * (1 + truth) * generator.normal(size=n)
        label = np.abs(label) if sample == "source" else truth
        magnitude = 20 + 3 * truth + 0.5 * generator.normal(size=n)
        names = np.array([f"{sample}{i}" for i in range(n)])
        for regime, (scatter, bias, _) in REGIMES.items():
            for seed in range(2):
                error = scatter * generator.standard_t(3, n) + bias
                parts.append(
                    {
                        "regime": np.full(n, regime, dtype=object),
                        "seed": np.full(n, seed),
                        "fraction": np.full(n, 0.0 if regime == "zero_shot" else 1.0),
                        "sample": np.full(n, sample, dtype=object),
                        "id": names,
                        "z_label": label,
                        "z_true": truth,
                        "z_pred": truth + error * (1 + truth),
                        "magnitude": magnitude,
                        "weight": np.ones(n),
                    }
                )
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _row(regime, fraction, sample, truth, metric, window=None):
    scatter, bias, _ = REGIMES[regime]
    values = {"nmad": scatter, "bias_median": bias, "outlier_015": scatter / 2}
    value = values.get(metric, 0.004) * (1.6 - 0.6 * (fraction or 1.0))
    return {
        "regime": regime,
        "fraction": fraction,
        "n_labels": int(2000 * fraction),
        "sample": sample,
        "truth": truth,
        "metric": metric,
        "value": value,
        "error": 0.05 * scatter,
        "n": 240,
        "window": window,
        "flagged": {"prediction negative": 2} if regime == "lora" else {},
        "note": "",
        "excluded": {"prediction non_finite": 1} if regime == "lora" else {},
        "seeds": 2,
    }


@pytest.fixture
def comparison():
    """A comparison.json as a dict, with two label fractions."""
    return _comparison()


@pytest.fixture(scope="session")
def figures(predictions, tmp_path_factory):
    """Paths of all figures, drawn once."""
    folder = tmp_path_factory.mktemp("figures")
    return report.write_figures(_comparison(), predictions, folder)


def _comparison():
    cases = [
        (regime, fraction)
        for regime in REGIMES
        for fraction in ((0.0,) if regime == "zero_shot" else (0.1, 1.0))
    ]
    names = list(REGIMES)
    differences = [
        {
            "a": a,
            "b": b,
            "fraction": fraction,
            "sample": sample,
            "truth": truth,
            "metric": "nmad",
            "value": REGIMES[a][0] - REGIMES[b][0],
            "error": 0.002,
            "resolved": abs(REGIMES[a][0] - REGIMES[b][0]) > 0.004,
        }
        for fraction in (0.1, 1.0)
        for sample, truth in CASES
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]
    return {
        "title": "Fine-tuning on a mock",
        "command": "kphotoz compare mock --seeds 2",
        "answer": "On the deployment sample combined is first.",
        "remarks": ["Adaptation moved the bias."],
        "notes": ["2 seeds: differences are called resolved from 5 seeds on."],
        "recipe": {
            "deployment": {"sample": "source", "truth": "z_true"},
            "evaluation": {"headline": "nmad", "windows": []},
        },
        "environment": {"backend": "tensorflow"},
        "samples": {
            name: {"n": 240, "truth": "label", "description": f"test split of {name}"}
            for name in ("source", "target", "deployment")
        },
        "regimes": {name: f"what {name} does" for name in REGIMES},
        "fractions": [0.1, 1.0],
        "seeds": 2,
        "rows": [
            _row(regime, fraction, *case, metric)
            for regime, fraction in cases
            for case in CASES
            for metric in METRICS
        ],
        "differences": differences,
        "floors": [
            {**_row("lora", 1.0, "deployment", "z_true", metric), "value": 0.02}
            for metric in METRICS
        ],
        "costs": [
            {
                "regime": regime,
                "fraction": fraction,
                "trainable_parameters": REGIMES[regime][2],
                "stored_bytes": 4 * REGIMES[regime][2],
                "examples_seen": int(40_000 * fraction),
                "seconds": 30.0 * fraction,
                "peak_memory_gib": 1.25,
            }
            for regime, fraction in cases
        ],
        "published": {
            "title": "Somebody 2026",
            "trust": "digitised",
            "rows": [{"regime": "lora", "target": 0.0183, "source": "> 0.06"}],
        },
        "crossover": {
            "sample": "target",
            "labels": 700,
            "points": [],
            "text": "from_scratch overtakes adaptation at about 700 labels",
        },
        "licences": [
            {"survey": "mock", "licence": "BSD-3-Clause", "acknowledgement": "none"}
        ],
    }
