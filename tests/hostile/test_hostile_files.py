"""Damaged and hostile data: used, or refused in one line; nothing else.

A failure names its case, for

    python tests/hostile/worker.py FOLDER 1 TARGET:NUMBER
"""

import pytest
import watch
import worker

QUICK = {name: 10 for name in worker.DATA if name not in worker.NEED_KERAS}
QUICK["hdf5"] = 3  # a process for each case
del QUICK["hdf5_plain"], QUICK["release"]


def test_two_hundred_hostile_files_are_used_or_refused_in_one_line(tmp_path):
    cases = [f"{name}:{i}" for name, count in QUICK.items() for i in range(count)]
    found = list(watch.run(cases, tmp_path))
    assert len(found) == len(cases) >= 200
    assert not watch.wrong(found)
    taken = {outcome for _, _, outcome in found}
    assert taken == {"used", "refused"}


def test_the_watch_sees_what_loaders_must_not_do(tmp_path):
    cases = ["sound:0", "takes_300_MiB:0", "child_takes_300_MiB:0", "wants_20_GiB:0"]
    cases += ["crashes:0", "sound:1", "stumbles:0", "babbles:0"]
    found = list(watch.run(cases, tmp_path))
    assert [case for case, _, _ in found] == cases
    found += watch.run(["hangs:0"], tmp_path, seconds=1)
    told = dict(line.split(": ", 1) for line in watch.wrong(found, 300))
    assert told.keys() == {"hangs:0", *cases} - {"sound:0", "sound:1"}
    for case, words in (
        ("hangs:0", "hung for 1 s"),
        ("takes_300_MiB:0", "MiB, used"),
        ("child_takes_300_MiB:0", "MiB, used"),
        ("wants_20_GiB:0", "asked for more than 6144 MiB"),
        ("crashes:0", "crashed (-6)"),
        ("stumbles:0", "KeyError at faults.py"),
        ("babbles:0", "not one clean line"),
    ):
        assert words in told[case]


def test_there_are_ten_thousand_cases():
    assert sum(count for _, count in worker.HOSTILE.values()) >= 10_000
    assert (watch.SECONDS, watch.MEBIBYTES) == (10, 2048)


@pytest.mark.large
def test_the_limits_are_those_of_the_promise(tmp_path):
    assert watch.wrong(watch.run(["hangs:0"], tmp_path)) == [
        "hangs:0: 0 MiB, hung for 10 s"
    ]
    # Some machines take seconds to give so much memory.
    (greedy,) = watch.wrong(watch.run(["takes_2200_MiB:0"], tmp_path, seconds=100))
    assert 2200 < int(greedy.split()[1]) < 3000, greedy


@pytest.mark.large
@pytest.mark.parametrize("target", list(worker.DATA))
def test_hostile_files_are_used_or_refused_in_one_line(target, check):
    check(target, worker.DATA[target][1])
