"""The builder under TFDS's own test case, on files of a few rows in the real layout."""

import tensorflow_datasets as tfds

from kphotoz_datasets.galaxies_ml import galaxies_ml_dataset_builder


class GalaxiesMlTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = galaxies_ml_dataset_builder.Builder
    SPLITS = {"train": 6, "validation": 3, "test": 3}
    # images_64 is built by tests/datasets/test_galaxies_ml.py.
    BUILDER_CONFIG_NAMES_TO_TEST = ["images_127", "magnitudes"]


if __name__ == "__main__":
    tfds.testing.test_main()
