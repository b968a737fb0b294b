"""Every model of keras.applications, whole, with five bands."""

import re
import warnings

import keras

from families.case import Case, images

__all__ = ["APPLICATIONS"]

BANDS = 5
# The smallest images that a constructor takes; 32 pixels where none is named.
SMALLEST = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
# Their normalisation has three means, of red, green and blue.
THREE_BANDS = ("ConvNeXt", "EfficientNetV2")
NOTES = {
    "without preprocessing": THREE_BANDS,
    # A path dropped in all rows gives its factors no gradient in that step.
    "without dropped paths": ("EfficientNet", "EfficientNetV2"),
}
# The smallest member of each family comes first.
MODELS = {
    "ConvNeXt": ["Tiny", "Small", "Base", "Large", "XLarge"],
    "DenseNet": ["121", "169", "201"],
    "EfficientNet": ["B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7"],
    "EfficientNetV2": ["B0", "B1", "B2", "B3", "S", "M", "L"],
    "InceptionResNetV2": [""],
    "InceptionV3": [""],
    "MobileNet": [""],
    "MobileNetV2": [""],
    "MobileNetV3": ["Small", "Large"],
    "NASNet": ["Mobile", "Large"],
    "ResNet": ["50", "101", "152"],
    "ResNetV2": ["50V2", "101V2", "152V2"],  # written ResNet50V2
    "VGG": ["16", "19"],
    "Xception": [""],
}


def application(family: str, name: str, **arguments) -> Case:
    """Returns the case of one constructor, with a head of three linear outputs."""
    size = SMALLEST.get(name, 32)
    given = {"input_shape": (size, size, BANDS), "weights": None}
    given |= {"classes": 3, "classifier_activation": None}
    if family in THREE_BANDS:
        given["include_preprocessing"] = False

    def make() -> keras.Model:
        with warnings.catch_warnings():
            # Of inputs that have neither one nor three bands.
            warnings.simplefilter("ignore", UserWarning)
            model = getattr(keras.applications, name)(**given | arguments)
        if not family.startswith("EfficientNet"):
            return model
        return keras.models.clone_model(model, clone_function=_keep_paths)

    return Case(
        name=name,
        family=family,
        source="keras.applications",
        make=make,
        inputs=lambda: images(size, size, BANDS),
        note=", ".join(note for note, ones in NOTES.items() if family in ones),
        # With random weights a change of an input by 1e-6 moves outputs by up to
        # 1e-4, in residual networks of 50 layers and more by up to 6e-4.
        options={"tolerance": 1e-3 if re.search("50|101|152", name) else 1e-4},
    )


def _keep_paths(layer: keras.Layer) -> keras.Layer:
    """Returns a copy of a layer that drops no path, only entries."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.Dropout) and layer.noise_shape is not None:
        config["rate"] = 0.0
    return type(layer).from_config(config)


def _name(family: str, member: str) -> str:
    return ("ResNet" if family == "ResNetV2" else family) + member


APPLICATIONS = [
    application(family, _name(family, member))
    for family, members in MODELS.items()
    for member in members
]
