"""The words that numbers deserve, written down by hand."""

import copy

import pytest

from kphotoz.shift.verdict import verdict

VIEW = {"auc": 0.5, "auc_p": 0.6, "outside": 0.01, "outside_null": 0.01}
SCORE = {
    "nmad": 0.03,
    "nmad_error": 0.001,
    "bias_median": 0.0,
    "bias_median_error": 0.001,
}
NONE = dict.fromkeys(SCORE)
FACTS = {
    "objects": {"source": 400, "target": 500, "shared": 0},
    "tests": {"trained": VIEW, "hand-made": VIEW},
    "matched": {},
    "labels": {"target": 500, "ks": 0.03, "p": 0.5, "outside": 0.01},
    "accuracy": {
        "source": SCORE,
        "expected": SCORE,
        "measured": SCORE,
        "unexplained": SCORE | {"nmad": 0.0},
        "change": SCORE | {"nmad": 0.0},
    },
}


def facts(**changes):
    """Returns FACTS with values changed, named as in a__b__c=value."""
    found = copy.deepcopy(FACTS)
    for path, value in changes.items():
        *folders, name = path.replace("hand_made", "hand-made").split("__")
        place = found
        for folder in folders:
            place = place[folder]
        place[name] = value
    return found


DIFFERENT = {"tests__trained__auc_p": 0.001, "tests__trained__auc": 0.7}
UNLABELLED = {
    "labels__target": 0,
    "labels__ks": None,
    "labels__p": None,
    "labels__outside": None,
    "accuracy__measured": NONE,
    "accuracy__unexplained": NONE,
}
WORSE = {"accuracy__change__nmad": 0.01}
MATCHED = {"trained": VIEW, "hand-made": VIEW}


@pytest.mark.parametrize(
    ("changes", "kinds", "regime"),
    [
        ({}, [], "zero_shot"),
        # Two views are looked at: 0.04 in one of them is no difference.
        ({"tests__trained__auc_p": 0.04}, [], "zero_shot"),
        (DIFFERENT, ["covariate shift"], "zero_shot"),  # which costs nothing
        (DIFFERENT | WORSE, ["covariate shift"], "lora"),
        (DIFFERENT | WORSE | {"labels__target": 100}, ["covariate shift"],
         "conjugate_kernel"),
        (DIFFERENT | WORSE | {"labels__target": 1001}, ["covariate shift"], "combined"),
        # A tenth of 0.03, but less than twice its error.
        (DIFFERENT | {"accuracy__change__nmad": 0.01,
                      "accuracy__change__nmad_error": 0.006},
         ["covariate shift"], "zero_shot"),
        (DIFFERENT | {"accuracy__change__bias_median": -0.02}, ["covariate shift"],
         "lora"),
        (DIFFERENT | {"tests__hand_made__outside": 0.2}, ["covariate shift"], "lora"),
        (DIFFERENT | {"tests__hand_made__outside": 0.9},
         ["no overlap", "covariate shift"], "from_scratch"),
        (DIFFERENT | UNLABELLED | {"tests__hand_made__outside": 0.9},
         ["no overlap", "covariate shift"], "zero_shot"),
        (DIFFERENT | {"labels__ks": 0.4, "labels__p": 0.0,
                      "matched": {"magnitude and redshift": MATCHED}},
         ["label shift"], "zero_shot"),
        (DIFFERENT | {"labels__ks": 0.4, "labels__p": 0.0},
         ["label shift", "covariate shift"], "zero_shot"),
        ({"accuracy__unexplained__nmad": 0.01}, ["concept shift"], "zero_shot"),
        (DIFFERENT | UNLABELLED, ["covariate shift"], "zero_shot"),
    ],
)  # fmt: skip
def test_kinds_and_regime_follow_from_the_numbers(changes, kinds, regime):
    found = verdict(facts(**changes))
    assert (found["kinds"], found["regime"]) == (kinds, regime)


def test_without_labels_a_difference_is_never_said_to_cost_nothing():
    found = verdict(facts(**DIFFERENT | UNLABELLED))
    assert "there are none" in found["sentences"][-1]
    assert "only labels show" in " ".join(found["sentences"])
    small = {"tests__trained__auc": 0.53}
    found = verdict(facts(**DIFFERENT | UNLABELLED | small))
    assert "loses nothing that matters" in found["sentences"][-1]


def test_nothing_is_promised_where_nothing_is_known():
    found = verdict(facts(**DIFFERENT, accuracy__change=NONE))
    assert found["regime"] == "lora"
    assert "cannot be told" in " ".join(found["sentences"])


def test_objects_that_both_samples_have_are_told():
    found = verdict(facts(objects__shared=3))
    assert found["sentences"][0].startswith("3 of 500 objects of the target are")
    assert (found["kinds"], found["regime"]) == ([], "zero_shot")
