"""The builder under TFDS's own test case, on a file of 40 made-up cutouts."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from kphotoz.data.grouping import split_of_groups
from kphotoz.files_in.file_spec import FileSpec
from kphotoz_datasets.cutouts import cutouts_dataset_builder
from kphotoz_datasets.cutouts.cutouts_dataset_builder import file_config

# Written by: np.savez_compressed(images=…, redshift=…, object_id=…), see README.txt.
DUMMY = pathlib.Path(__file__).parent / "dummy_data" / "cutouts.npz"
SPEC = FileSpec(file=DUMMY, bands=("g", "r", "i"), photometry="unknown")


def _counts() -> dict[str, int]:
    ids = np.array([f"object-{row}" for row in range(40)], object)
    names, counts = np.unique(
        split_of_groups(ids, SPEC.splits, SPEC.seed).astype(str), return_counts=True
    )
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


class CutoutsTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = cutouts_dataset_builder.Builder
    SKIP_TF1_GRAPH_MODE = True
    BUILDER_CONFIG_NAMES_TO_TEST = [file_config(SPEC)]
    SPLITS = _counts()


if __name__ == "__main__":
    tfds.testing.test_main()
