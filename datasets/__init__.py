"""TensorFlow Datasets builders of kphotoz, one folder a survey.

Importing this package registers them, so that ``tfds.load("mock_hsc")`` finds them.
"""

import os

# The processes that draw the stamps of mock surveys need no builder and no TensorFlow.
if not os.environ.get("KPHOTOZ_DATASETS_LIGHT"):
    from kphotoz_datasets.catalog import catalog_dataset_builder  # noqa: F401
    from kphotoz_datasets.combined_z import combined_z_dataset_builder  # noqa: F401
    from kphotoz_datasets.cutouts import cutouts_dataset_builder  # noqa: F401
    from kphotoz_datasets.galaxies_ml import galaxies_ml_dataset_builder  # noqa: F401
    from kphotoz_datasets.mock_hsc import mock_hsc_dataset_builder  # noqa: F401
    from kphotoz_datasets.transfer_z import transfer_z_dataset_builder  # noqa: F401
