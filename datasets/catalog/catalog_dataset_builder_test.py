"""The builder under TFDS's own test case, on a table of 40 made-up objects."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from kphotoz.data.grouping import split_of_groups
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz_datasets.catalog import catalog_dataset_builder
from kphotoz_datasets.catalog.catalog_dataset_builder import file_config

DUMMY = pathlib.Path(__file__).parent / "dummy_data" / "catalog.csv"
SPEC = CatalogSpec(
    file=DUMMY,
    bands=("g", "r", "i"),
    magnitudes=("mag_g", "mag_r", "mag_i"),
    magnitude_errors=("err_g", "err_r", "err_i"),
    photometry="unknown",
)


def _counts() -> dict[str, int]:
    ids = np.array([f"object-{row}" for row in range(40)], object)
    names, counts = np.unique(
        split_of_groups(ids, SPEC.splits, SPEC.seed).astype(str), return_counts=True
    )
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


class CatalogTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = catalog_dataset_builder.Builder
    SKIP_TF1_GRAPH_MODE = True
    BUILDER_CONFIG_NAMES_TO_TEST = [file_config(SPEC)]
    SPLITS = _counts()


if __name__ == "__main__":
    tfds.testing.test_main()
