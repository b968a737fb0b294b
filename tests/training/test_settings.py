import pydantic
import pytest

from kphotoz.training.settings import Training


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "adam"),
        ("schedule", "plateaux"),
        ("score_smoothing", "paper"),
        ("clip_scope", "all"),
        ("early_stopping", 0),
        ("label_clamp", [4.0, 0.0]),
        ("patience", 3),
    ],
)
def test_settings_that_mean_nothing_are_refused(field, value):
    with pytest.raises(pydantic.ValidationError, match=field):
        Training(**{field: value})


def test_settings_survive_the_file_they_are_searched_from():
    settings = Training(label_clamp=(0.0, 4.0), early_stopping=20)
    assert Training(**settings.model_dump(mode="json")) == settings
