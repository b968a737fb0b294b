import numpy as np
import pytest

from kphotoz_datasets.mock_hsc import catalogue
from kphotoz_datasets.simulate import stamps, workers

IMAGING = stamps.Imaging(
    12, 0.168, (0.8, 0.7, 0.6, 0.6, 0.7), (26.6, 26.2, 26.2, 25.3, 24.5)
)
POOL = catalogue.neighbour_pool(0, "deep")
GALAXIES = catalogue.draw(100, 0, "deep")


def drawn(processes: int) -> np.ndarray:
    with workers.StampPool(IMAGING, POOL, 10_000, processes) as pool:
        return np.stack(list(pool.draw(GALAXIES)))


def test_number_of_processes_changes_no_byte():
    alone, two, three = drawn(1), drawn(2), drawn(3)
    assert alone.shape == (100, 12, 12, 5)
    assert alone.tobytes() == two.tobytes() == three.tobytes()


def test_order_of_stamps_is_that_of_the_galaxies():
    expected = stamps.render(
        {name: GALAXIES[name][77] for name in stamps.COLUMNS},
        POOL,
        IMAGING,
        GALAXIES["key"][77],
    )
    np.testing.assert_array_equal(drawn(2)[77], expected)


def test_a_process_that_dies_is_told_and_does_not_hang():
    with workers.StampPool(IMAGING, POOL, 10_000, 2) as pool:
        for worker in pool._workers:
            worker.kill()
            worker.wait()
        with pytest.raises(RuntimeError, match="has died"):
            list(pool.draw(GALAXIES))


def test_environment_sets_the_number_of_processes(monkeypatch):
    monkeypatch.setenv("KPHOTOZ_BUILD_PROCESSES", "3")
    assert workers.process_count() == 3
    monkeypatch.setenv("KPHOTOZ_BUILD_PROCESSES", "many")
    assert workers.process_count() >= 1


def test_a_draw_given_up_half_way_does_not_mix_into_the_next():
    expected = drawn(1)
    rest = {name: column[40:] for name, column in GALAXIES.items()}
    with workers.StampPool(IMAGING, POOL, 10_000, 2) as pool:
        abandoned = pool.draw(GALAXIES)
        next(abandoned)
        np.testing.assert_array_equal(np.stack(list(pool.draw(rest))), expected[40:])
