"""The builder under TFDS's own test case, at 20 galaxies of 8 pixels a side."""

import tensorflow_datasets as tfds

from kphotoz_datasets.mock_hsc import mock_hsc_dataset_builder


class MockHSCTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = mock_hsc_dataset_builder.Builder
    SPLITS = {"train": 12, "validation": 2, "calibration": 2, "test": 4}
    BUILDER_CONFIG_NAMES_TO_TEST = [
        mock_hsc_dataset_builder.config("spectroscopic", count=20, image_size=8),
        mock_hsc_dataset_builder.config("photometric_catalog", count=20),
    ]


if __name__ == "__main__":
    tfds.testing.test_main()
