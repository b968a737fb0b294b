"""Compares a source and a target as a trained network sees them."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import scipy.stats

from kphotoz import adapters
from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.data.flags import flag_redshifts
from kphotoz.data.stream import Stream
from kphotoz.errors import InputError
from kphotoz.files import exclusive, sweep, write_json
from kphotoz.files_in.stream import open_stream
from kphotoz.files_in.survey_spec import SurveySpec
from kphotoz.models import check_input
from kphotoz.prediction.place import check_place
from kphotoz.report.shift_figure import draw_components
from kphotoz.shift import losses, two_sample
from kphotoz.shift.drift import feature_drift
from kphotoz.shift.matching import match_depth, match_rows
from kphotoz.shift.object_scores import predicted, write_scores
from kphotoz.shift.reweighting import density_ratio, label_shift
from kphotoz.shift.support import Support
from kphotoz.shift.verdict import verdict
from kphotoz.shift.views import Views

__all__ = ["Settings", "compare_samples"]

_CHUNK = 512  # rows read at once; our choice
_RANGE = (0.005, 0.995)  # quantiles of redshifts between which a source has examples
# With fewer relabellings no p can be below 0.05 after its correction for two views.
_FEWEST = 40
_WRITTEN = ("scores.parquet", "components.png", "shift.json")
_MOST_DRAWN = 250_000_000  # numbers of relabelled objects, 2 GB, held three times


Tables = dict[str, np.ndarray]  # features (n, feature) by view


@dataclasses.dataclass(frozen=True)
class Settings:
    """How samples are compared.

    Args:
        layer: str or None. Whose outputs. [default: what the last layer reads]
        rows: int >= 20. The most objects of a sample that tests look at; MMD looks at
            1,000 at most.
        permutations: int >= 40. Relabellings; the Frechet test always takes 199.
        seed: int.
    """

    layer: str | None = None
    rows: int = 1000
    permutations: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InputError: one is too small.
        """
        for name, least in (("rows", 20), ("permutations", _FEWEST), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"Wanted: {name} of {least} or more. Received: "
                    f"{getattr(self, name)}."
                )


@dataclasses.dataclass
class _Sample:
    """Objects that tests look at: inputs (n, ...) and columns (n,), NaN unknown."""

    inputs: np.ndarray
    z_pred: np.ndarray
    redshift: np.ndarray
    magnitude: np.ndarray
    labels: int  # of the whole sample, not of these objects alone

    def labelled(self) -> tuple[np.ndarray, np.ndarray]:
        return self.z_pred, self.redshift


def compare_samples(
    model: keras.Model,
    source: SurveySpec | Stream | str,
    target: SurveySpec | Stream | str,
    out: pathlib.Path,
    settings: Settings | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Writes and returns how a target differs from a source, and what follows.

    The folder gets shift.json (what is returned), scores.parquet (a row for each
    object of the target: prediction, distance from the source and its tail) and
    components.png. The source should be objects that the model was not trained on.

    Args:
        model: keras.Model of one redshift, adapted or not.
        source: spec of a file, survey name "builder/config:split", or Stream.
        target: the same.
        out: folder, made if missing.
        settings: Settings. [default: Settings()]
        tell: called with one line at the beginning of each step.

    Raises:
        InputError: inputs that the model does not take, fewer than 20 usable objects,
            or a model whose layers cannot be read.
    """
    settings, out = settings or Settings(), pathlib.Path(out)
    if isinstance(model, AdaptedModel):
        model = adapters.merge(model)
    with contextlib.ExitStack() as stack:
        streams = []
        for name in (source, target):
            streams.append(open_stream(name))
            stack.callback(streams[-1].close)
            check_input(model, streams[-1])
        _check_draws(streams, settings)
        for name in _WRITTEN:
            check_place(out / name, (source, target))
        stack.enter_context(exclusive(out / ".shift.lock", out))
        for name in _WRITTEN:
            sweep(out / name)
        tell(f"Reading {streams[0].name}")
        first = _read(model, streams[0], settings, tell)
        views = Views(
            model, first.inputs, streams[0].bands, settings.layer, settings.seed
        )
        old = views(first.inputs)
        supports = {
            view: Support(views.physical(view, table), settings.seed)
            for view, table in old.items()
        }
        tell(f"Reading {streams[1].name}")
        second = _read(model, streams[1], settings, tell)
        new = views(second.inputs)
        outside = {
            view: {"outside": one.outside(views.physical(view, new[view]))}
            | {"outside_null": one.level}
            for view, one in supports.items()
        }
        tell("Testing")
        facts = _facts(views, (first, second), (old, new), settings)
        for view, numbers in facts["tests"].items():
            numbers |= outside[view]
        facts = {
            "source": streams[0].name,
            "target": streams[1].name,
            **dataclasses.asdict(settings),
            **facts,
            **verdict(facts),
        }
        tell(f"Scoring {streams[1].name}")
        (out / "shift.json").unlink(missing_ok=True)  # the last of the three, when new
        write_scores(model, views, supports, streams[1], out / "scores.parquet")
        draw_components(
            old, new, (streams[0].name, streams[1].name), out / "components.png"
        )
        write_json(out / "shift.json", facts)
    return facts


def _check_draws(streams: list[Stream], settings: Settings) -> None:
    rows = sum(min(len(stream), settings.rows) for stream in streams)
    drawn = rows * (settings.permutations + 1)
    if drawn > _MOST_DRAWN:
        raise InputError(
            f"Wanted: at most {_MOST_DRAWN:.1e} relabelled objects, rows of both "
            f"samples times permutations. Received: {drawn:.1e}. Take fewer of either."
        )


def _read(
    model: keras.Model,
    stream: Stream,
    settings: Settings,
    tell: Callable[[str], None],
) -> _Sample:
    order = np.random.default_rng(settings.seed).permutation(len(stream))
    chosen = np.zeros(len(stream), bool)
    chosen[order[: settings.rows]] = True
    rows_of, chunks = [np.zeros(0, int)], []
    for start, chunk, flags in stream.chunks(_CHUNK):
        use = chosen[start : start + len(chunk)] & (flags == "")
        rows_of.append(start + np.flatnonzero(use))
        chunks.append(chunk[use])
    kept = np.concatenate(rows_of)
    if len(kept) < 20:
        raise InputError(
            f"Wanted: 20 usable objects or more in {stream.name}. Received: "
            f"{len(kept)} of {len(stream)} rows. Give a larger sample."
        )
    inputs = np.concatenate(chunks)
    redshift = _redshifts(stream, tell)
    magnitude = _column(stream, "magnitude")
    labels = int(np.isfinite(redshift).sum())
    return _Sample(
        inputs, predicted(model, inputs), redshift[kept], magnitude[kept], labels
    )


def _column(stream: Stream, name: str) -> np.ndarray:
    """Returns a column of a stream, all NaN where there is none."""
    unknown = np.full(len(stream), np.nan)
    return np.asarray(stream.table.get(name, unknown), np.float64)


def _redshifts(stream: Stream, tell: Callable[[str], None]) -> np.ndarray:
    """Returns the labels, NaN for those that importing would refuse; tells how many."""
    redshift = _column(stream, "redshift")
    flags = flag_redshifts(redshift)
    flags[np.isnan(redshift)] = ""  # not given, which is no fault
    bad = np.flatnonzero(flags != "")
    if bad.size:
        tell(
            f"{stream.name}: {bad.size} of {len(stream)} redshifts are left out, first "
            f"{redshift[bad[0]]:g} in row {bad[0]} ({flags[bad[0]]})"
        )
        redshift = np.where(flags == "", redshift, np.nan)
    return redshift


def _facts(
    views: Views,
    samples: tuple[_Sample, _Sample],
    pairs: tuple[Tables, Tables],
    settings: Settings,
) -> dict[str, Any]:
    """Returns all numbers: per view, matched, per feature, on labels, on accuracy."""
    source, target = samples
    old, new = pairs  # features of the source and of the target
    tests = {view: _tests(old[view], new[view], settings) for view in old}
    drifts = feature_drift(old["hand-made"], new["hand-made"], views.names)
    weights = density_ratio(old["trained"], new["trained"], seed=settings.seed)
    return {
        "objects": {
            "source": len(source.z_pred),
            "target": len(target.z_pred),
            "shared": _shared(source.inputs, target.inputs),
        },
        "tests": tests,
        "matched": _matched(views, samples, pairs, settings),
        "drift": [dataclasses.asdict(one) for one in drifts],
        "labels": _labels(source, target),
        "accuracy": losses.accuracy(
            source.labelled(), target.labelled(), weights, seed=settings.seed
        ),
    }


def _shared(source: np.ndarray, target: np.ndarray) -> int:
    """Returns how many objects of the target are in the source, bit for bit."""
    known = {hash(row.tobytes()) for row in source}
    return sum(hash(row.tobytes()) in known for row in target)


def _tests(
    source: np.ndarray,
    target: np.ndarray,
    settings: Settings,
    *,
    area_only: bool = False,
) -> dict[str, float]:
    how = {"permutations": settings.permutations, "seed": settings.seed}
    area = two_sample.classifier_test(source, target, **how)
    tests = {"auc": area.statistic, "auc_p": area.p, "auc_null_95": area.null_95}
    if area_only:
        return tests
    discrepancy = two_sample.mmd_test(source, target, **how)
    distance = two_sample.frechet_test(source, target, seed=settings.seed)
    return tests | {
        "mmd2": discrepancy.statistic,
        "mmd2_p": discrepancy.p,
        "frechet": distance.statistic,
        "frechet_null": distance.null,
        "frechet_p": distance.p,
    }


def _matched(
    views: Views,
    samples: tuple[_Sample, _Sample],
    pairs: tuple[Tables, Tables],
    settings: Settings,
) -> dict[str, dict]:
    """Returns the classifier's tests again, on samples made alike in something."""
    tests = {}
    quantities = [
        np.stack([sample.magnitude, sample.redshift], axis=1) for sample in samples
    ]
    known = [np.isfinite(one).any(axis=0) for one in quantities]
    use = known[0] & known[1]
    if use.any():
        one, other = (table[:, use] for table in quantities)
        kept = match_rows(one, other, seed=settings.seed)
        if min(map(len, kept)) >= 20:
            what = np.array(["magnitude", "redshift"])[use]
            old, new = (
                {view: table[rows] for view, table in side.items()}
                for side, rows in zip(pairs, kept, strict=True)
            )
            tests[" and ".join(what)] = _areas(old, new, settings)
    alike = match_depth(samples[0].inputs, samples[1].inputs, seed=settings.seed)
    tests["depth"] = _areas(views(alike[0]), views(alike[1]), settings)
    return tests


def _areas(source: Tables, target: Tables, settings: Settings) -> dict[str, dict]:
    return {
        view: _tests(table, target[view], settings, area_only=True)
        | {"objects": len(table)}
        for view, table in source.items()
        if view in ("trained", "hand-made")
    }


def _labels(source: _Sample, target: _Sample) -> dict[str, Any]:
    """Returns how the redshifts differ, and what predictions alone say about that."""
    known = [np.isfinite(one.redshift) for one in (source, target)]
    counts = [int(rows.sum()) for rows in known]
    results: dict[str, Any] = {"source": source.labels, "target": target.labels}
    results |= {"ks": None, "p": None, "outside": None, "estimated": None}
    if min(counts) >= losses.LEAST:
        test = scipy.stats.ks_2samp(
            source.redshift[known[0]], target.redshift[known[1]], method="asymp"
        )
        low, high = np.quantile(source.redshift[known[0]], _RANGE)
        wanted = target.redshift[known[1]]
        results |= {"ks": float(test.statistic), "p": float(test.pvalue)}
        results["outside"] = float(np.mean((wanted < low) | (wanted > high)))
    usable = known[0] & np.isfinite(source.z_pred)
    varied = np.unique(source.redshift[usable]).size > 10
    if counts[0] >= losses.LEAST and varied:
        estimate = label_shift(
            source.z_pred[usable],
            source.redshift[usable],
            target.z_pred[np.isfinite(target.z_pred)],
        )
        results["estimated"] = {
            name: value.tolist() for name, value in vars(estimate).items()
        }
    return results
