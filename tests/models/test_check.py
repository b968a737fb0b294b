"""Every kind of model refuses a survey that it was not made for."""

import keras
import pytest

from kphotoz import models
from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.stream import open_stream


@pytest.mark.parametrize("branch", ["both", "image", "photometry"])
def test_another_order_or_scale_is_refused_by_every_branch(survey, facts, branch):
    model = models.build_photoz(
        {"branch": branch, "filters": [4], "radii": [2.0, 4.0]},
        *survey,
        bands="griz",
        pixel_scale=0.168,
        zero_point=[27.0] * 4,
        seed=0,
    )
    models.check_input(model, facts("griz", 0.168))
    models.check_input(model, facts("griz", 0.168, zero_point=[27.004] * 4))
    models.check_input(model, facts("griz", None))
    with pytest.raises(InputError, match="g,r,i,z.*Received: z,i,r,g"):
        models.check_input(model, facts("zirg", 0.168))
    with pytest.raises(InputError, match="0.168 arcsec.*Received: 0.396"):
        models.check_input(model, facts("griz", 0.396))
    # 27 - 24.5 magnitudes are a factor of ten, by the definition of a magnitude.
    other = facts("griz", 0.168, zero_point=[24.5, 24.5, 24.5, 27.0])
    with pytest.raises(InputError, match=r"27 of.*24.5, 27.*pixels by 10, 1 and"):
        models.check_input(model, other)


def test_a_file_in_another_unit_is_refused_where_the_models_scale_is_known(
    survey, make_file
):
    settings = {"bands": "griz", "pixel_scale": 0.168, "seed": 0}
    old, new = (
        models.build_photoz(
            {"filters": [4], "radii": [2.0]}, *survey, **settings, **more
        )
        for more in ({}, {"zero_point": [22.5] * 4})
    )
    for unit in ("nanomaggy", "nJy", "count", None):
        said = {"bands": tuple("griz"), "pixel_scale": 0.168, "unit": unit}
        stream = open_stream(FileSpec.create(file=make_file("npz"), **said))
        models.check_input(old, stream)  # what is unknown is not compared
        if unit != "nJy":
            models.check_input(new, stream)
            continue
        # A flux of magnitude m is larger in nJy by 10^(0.4 (31.4 - 22.5)).
        with pytest.raises(
            InputError, match="22.5 of .*31.4. Multiply .* by 0.0002754"
        ):
            models.check_input(new, stream)


def test_another_kind_or_size_is_refused_by_any_model(facts):
    images = keras.Sequential([keras.Input((16, 16, 4)), keras.layers.Flatten()])
    colours = keras.Sequential([keras.Input((4, 2)), keras.layers.Flatten()])
    catalog = facts("griz", None, kind="catalog", shape=(4, 2))
    models.check_input(images, facts("griz", 0.168))
    models.check_input(colours, catalog)
    with pytest.raises(InputError, match="Wanted: images.*Received: photometry"):
        models.check_input(images, catalog)
    with pytest.raises(InputError, match="Wanted: photometry.*Received: images"):
        models.check_input(colours, facts("griz", 0.168))
    with pytest.raises(InputError, match=r"\(16, 16, 4\).*Received: \(8, 8, 4\)"):
        models.check_input(images, facts("griz", 0.168, shape=(8, 8, 4)))
