from kphotoz import recipes, regimes
from kphotoz.comparison.plan import Job, jobs


def plan(**fields):
    recipe = recipes.load(overlay=fields)
    return jobs(recipe, regimes.select(recipe.regimes, {}, True))


def test_every_base_comes_before_what_starts_from_it():
    order = plan(seeds=2, fractions=[0.1, 1.0])
    names = [(job.regime, job.seed) for job in order]
    for index, (name, seed) in enumerate(names):
        if name != "base" and regimes.get(name).trainable.start == "base":
            assert names[:index].count(("base", seed)) == 1


def test_regimes_without_target_labels_run_once_a_seed():
    order = plan(seeds=3, fractions=[0.1, 0.3, 1.0], regimes=["zero_shot", "lora"])
    counts = {
        name: sum(j.regime == name for j in order) for name in ("zero_shot", "lora")
    }
    assert counts == {"zero_shot": 3, "lora": 9}


def test_no_base_is_trained_where_no_regime_needs_one():
    order = plan(regimes=["from_scratch", "random_forest"])
    assert {job.regime for job in order} == {"from_scratch", "random_forest"}


def test_job_names_are_distinct():
    order = plan(seeds=5, fractions=[0.03, 0.1, 0.3, 1.0])
    assert len({job.name for job in order}) == len(order)


def test_every_fold_has_a_base_of_its_own():
    order = plan(seeds=2, folds=3, regimes=["lora", "zero_shot"])
    names = [(job.regime, job.seed, job.fold) for job in order]
    assert len(set(names)) == len({job.name for job in order}) == 2 * 3 * 3
    for seed in range(2):
        for fold in range(3):
            base, lora = (names.index((n, seed, fold)) for n in ("base", "lora"))
            assert base < lora


def test_folder_names_hold_nothing_that_a_path_must_not():
    names = {
        Job(f"lora[targets={pattern}]", 0, 1.0).name
        for pattern in (".*", ".+", "a/b|c", "a/bc", "..")
    }
    assert len(names) == 5
    assert not any(set(name) & set("/*|\\ :") for name in names)


def test_folder_names_tell_near_fractions_and_long_patterns_apart():
    fractions = [Job("lora", 0, x).name for x in (0.1234567, 0.1234568, 0.25, 1.0)]
    assert len(set(fractions)) == 4
    assert fractions[2:] == ["lora-f0.25-s0", "lora-f1-s0"]
    long = [Job(f"lora[targets={'x' * 300}{end}]", 0, 1.0).name for end in "ab"]
    assert len(set(long)) == 2 and max(map(len, long)) < 200
