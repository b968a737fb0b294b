"""Every kind of model refuses a survey that it was not made for."""

import pytest

from kphotoz import models
from kphotoz.errors import InputError


@pytest.mark.parametrize("branch", ["both", "image", "photometry"])
def test_another_order_or_scale_is_refused_by_every_branch(survey, branch):
    model = models.build_photoz(
        {"branch": branch, "filters": [4], "radii": [2.0, 4.0]},
        *survey,
        bands="griz",
        pixel_scale=0.168,
        seed=0,
    )
    models.check_input(model, "griz", 0.168)
    models.check_input(model, "griz", None)
    with pytest.raises(InputError, match="g,r,i,z.*Received: z,i,r,g"):
        models.check_input(model, "zirg", 0.168)
    with pytest.raises(InputError, match="0.168 arcsec.*Received: 0.396"):
        models.check_input(model, "griz", 0.396)
