import pytest

from kphotoz_datasets import _building
from kphotoz_datasets.galaxies_ml import galaxies_ml_dataset_builder


def test_wrong_number_of_examples_is_no_data_set(tmp_path):
    builder = galaxies_ml_dataset_builder.Builder(data_dir=tmp_path)
    builder.data_path.mkdir(parents=True)
    examples = [(row, b"record") for row in range(4)]
    info = _building.write_split(builder, "train", examples, 4)
    assert info.num_examples == 4 and info.num_bytes == 24
    for promised in (3, 5):
        with pytest.raises(RuntimeError, match="promised"):
            _building.write_split(builder, "test", examples, promised)
