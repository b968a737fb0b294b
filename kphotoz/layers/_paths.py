"""Layers by path: the names from the model's root, joined by slashes."""

import keras


def walk(model: keras.Layer) -> dict[str, keras.Layer]:
    """Returns every layer below `model` by path, parents before children.

    A layer shared by two parents has the first path. Siblings of one name, possible in
    subclassed models, get ":1", ":2" appended.
    """
    layers, visited = {}, set()

    def visit(parent: keras.Layer, prefix: str) -> None:
        for layer in children(parent):
            if id(layer) in visited:
                continue
            visited.add(id(layer))
            path = base = prefix + layer.name
            number = 0
            while path in layers:
                number += 1
                path = f"{base}:{number}"
            layers[path] = layer
            visit(layer, path + "/")

    visit(model, "")
    return layers


def children(layer: keras.Layer) -> list[keras.Layer]:
    """Returns the layers that a layer or model is made of."""
    if isinstance(layer, keras.Model):
        return layer.layers
    # Keras has no public list of a layer's sublayers; keras-hub uses this one.
    return layer._flatten_layers(include_self=False, recursive=False)
