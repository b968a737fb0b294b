"""Writes a `.keras` model as a TensorFlow SavedModel of one input shape.

A program, because only TensorFlow exports and the caller may run JAX:

    KERAS_BACKEND=tensorflow python -m kphotoz.prediction.openvino_export \
        model.keras FOLDER ROWS HEIGHT WIDTH BAND
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Reads the command line and writes the folder."""
    import keras

    from kphotoz import models

    path, folder, *shape = sys.argv[1:]
    signature = keras.InputSpec("float32", tuple(map(int, shape)))
    models.load(path).export(
        folder, format="tf_saved_model", input_signature=[signature], verbose=False
    )


if __name__ == "__main__":
    main()
