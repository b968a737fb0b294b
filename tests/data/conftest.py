import hashlib

import numpy as np
import pytest


def example(number):
    """Returns one example made from nothing but its number: the oracle of the tests."""
    rng = np.random.default_rng(number)
    return {
        "image": rng.normal(1.0, 0.1, (16, 16, 4)).astype(np.float32),
        "redshift": np.float32(rng.uniform(0, 2)),
        "redshift_error": np.float32(0.01 * number),
        "z_true": np.float32("nan"),
        "magnitude": np.float32(20 + number / 10),
        "id": f"object-{number}",
        "group": hashlib.sha256(bytes([number // 2])).hexdigest()[:8],
    }


@pytest.fixture(scope="session")
def make_example():
    return example


@pytest.fixture(scope="session")
def tiny(survey_folder):
    """A survey of 40 training and 10 test examples, without the other two splits."""
    import tensorflow_datasets as tfds

    from kphotoz.data.survey import build_survey, open_builder

    class TinySky(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = survey_folder

        def _info(self):
            image = tfds.features.Tensor(
                shape=(16, 16, 4), dtype=np.float32, encoding="bytes"
            )
            names = ("redshift", "redshift_error", "z_true", "magnitude")
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {"image": image, "id": tfds.features.Text()}
                    | {"group": tfds.features.Text()}
                    | dict.fromkeys(names, np.float32)
                ),
                metadata=tfds.core.MetadataDict(
                    bands=["g", "r", "i", "z"],
                    pixel_scale=0.2,
                    unit="nanomaggy",
                    label_kind="spectroscopic",
                ),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {"train": self._some(0, 40), "test": self._some(40, 50)}

        def _generate_examples(self):
            return self._some(0, 0)

        def _some(self, start, stop):
            return ((number, example(number)) for number in range(start, stop))

    builder = TinySky(data_dir=survey_folder)
    build_survey(builder)
    return open_builder(builder, "tiny_sky")
