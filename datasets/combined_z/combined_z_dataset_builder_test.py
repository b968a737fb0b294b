"""The builder under TFDS's own test case, on files of a few rows in the real layout."""

import pytest
import tensorflow_datasets as tfds

from kphotoz_datasets.combined_z import combined_z_dataset_builder


@pytest.mark.large  # as galaxies_ml, by the same builder
class CombinedZTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = combined_z_dataset_builder.Builder
    SPLITS = {"train": 10, "validation": 6, "test": 6}
    BUILDER_CONFIG_NAMES_TO_TEST = ["images_64", "magnitudes"]


if __name__ == "__main__":
    tfds.testing.test_main()
