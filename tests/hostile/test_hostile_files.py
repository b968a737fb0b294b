"""Damaged and hostile data: used, or refused in one line; nothing else.

A failure says where the damaged file is kept; `worker.py` uses it by hand.
"""

import pytest
import watch
import worker

QUICK = {name: 15 for name in worker.DATA if name not in worker.NEED_KERAS}
QUICK["hdf5"] = 3  # a process for each case
del QUICK["hdf5_plain"], QUICK["release"]


def test_two_hundred_hostile_files_are_used_or_refused_in_one_line(tmp_path):
    found = {}
    with watch.Watched(QUICK, tmp_path) as watched:
        for name, count in QUICK.items():
            taken = watch.check(name, count, watched, tmp_path)
            found |= {(name, *case): one for case, one in taken.items()}
    assert len(found) >= 200
    assert {one.outcome for one in found.values()} == {"used", "refused"}


def test_the_watch_sees_what_loaders_must_not_do(tmp_path):
    told = {}
    with watch.Watched(worker.faults.TARGETS, tmp_path, seconds=5) as watched:
        for name in worker.faults.TARGETS:
            if name != "takes_2200_MiB":
                told[name] = watched.use(name, "a", b"damaged")
    wrong = {name for name, one in told.items() if one.wrong(300)}
    assert wrong == told.keys() - {"sound"}
    assert told["takes_300_MiB"].mebibytes > 300
    assert told["child_takes_300_MiB"].mebibytes > 300
    for name, words in (
        ("sound", "used"),
        ("hangs", "hung for 5 s"),
        ("takes_300_MiB", "used"),
        ("wants_20_GiB", "asked for more than 6144 MiB"),
        ("crashes", "crashed (-6)"),
        ("stumbles", "KeyError at faults.py"),
        ("babbles", "not one clean line"),
    ):
        assert words in told[name].outcome


def test_damage_that_is_taken_wrongly_is_told_and_kept(tmp_path):
    with (
        watch.Watched(["stumbles"], tmp_path) as watched,
        pytest.raises(AssertionError, match="KeyError at faults.py"),
    ):
        watch.check("stumbles", 20, watched, tmp_path)
    assert (tmp_path / "stumbles.wrong").read_bytes() != b"whole"


def test_there_are_ten_thousand_cases():
    assert sum(count for _, count in worker.HOSTILE.values()) >= 10_000
    assert (watch.SECONDS, watch.MEBIBYTES) == (10, 2048)


@pytest.mark.large
def test_the_limits_are_those_of_the_promise(tmp_path):
    with watch.Watched(["hangs"], tmp_path) as watched:
        assert watched.use("hangs", "a", b"damaged") == (0, "hung for 10 s")
    # Some machines take seconds to give so much memory.
    with watch.Watched(["takes_2200_MiB"], tmp_path, seconds=100) as watched:
        greedy = watched.use("takes_2200_MiB", "a", b"damaged")
    assert greedy.wrong() and 2200 < greedy.mebibytes < 3000


@pytest.mark.large
@pytest.mark.parametrize("target", list(worker.DATA))
def test_hostile_files_are_used_or_refused_in_one_line(target, check):
    check(target, worker.DATA[target][1])
