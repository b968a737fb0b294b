"""Weights that a model writes to by itself when it is called in training."""

import logging

import keras

from kphotoz.adapters import paths

__all__ = ["self_written", "written_kernels"]

log = logging.getLogger(__name__)

# Layers of these packages write to statistics of normalisation only, which have a
# policy, to states of recurrent layers, and to what is below.
_KNOWN = ("keras", "keras_hub", "kphotoz")
_WRITERS = (keras.layers.SpectralNormalization,)
_SIZE = 32  # of an axis that may have any size, in a trial; our choice


def self_written(base: keras.Model) -> frozenset[int] | None:
    """Returns the ids of the weights that a call in training would assign.

    Layers that we do not know are tried out: the model is called once on ones, within
    a scope that keeps what is assigned from the variables. Statistics of batch
    normalisation are left out.

    Args:
        base: built model.

    Returns:
        set of ids; None where the model could not be tried.
    """
    layers = paths.walk(base)
    if not any(_is_suspect(layer) for layer in layers.values() if layer.weights):
        return frozenset()
    values = [(v, keras.ops.convert_to_tensor(v)) for v in base.variables]
    scope = keras.StatelessScope(
        values, collect_losses=True, initialize_variables=False
    )
    given = dict(scope.state_mapping)
    try:
        inputs = _inputs(base)
        with scope:
            base(inputs, training=True)
    except Exception as error:  # of a stranger's code, whatever it is
        log.info("Not tried in training: %s.", " ".join(str(error).split())[:200])
        return None
    kind = keras.layers.BatchNormalization
    norms = [x for x in layers.values() if isinstance(x, kind)]
    own = {id(v) for layer in norms for v in layer.weights}
    return frozenset(
        id(v)
        for v in base.weights
        if id(v) not in own and scope.get_current_value(v) is not given[id(v)]
    )


def written_kernels(base: keras.Model) -> set[str]:
    """Returns the paths of layers to whose kernels their model writes in training.

    Args:
        base: built model.
    """
    layers, written = paths.walk(base), self_written(base) or ()
    writers = {
        path
        for path, layer in layers.items()
        if any(id(v) in written for v in paths.own_weights(layer) if v.name == "kernel")
    }
    # What a subclassed model does cannot always be tried, but these do it anywhere.
    wrappers = [path for path, x in layers.items() if isinstance(x, _WRITERS)]
    return writers | {p for p in layers for w in wrappers if p.startswith(f"{w}/")}


def _is_suspect(layer: keras.Layer) -> bool:
    module = type(layer).__module__.split(".")[0]
    return module not in _KNOWN or isinstance(layer, _WRITERS)


def _inputs(base: keras.Model) -> object:
    if hasattr(base, "input") or isinstance(base, keras.Sequential):
        tensors = paths.input_of(base)
        return keras.tree.map_structure(lambda x: _ones(x.shape, x.dtype), tensors)
    # A subclassed model knows only the shapes that it was first called with.
    shapes = base.get_build_config()["input_shape"]
    return keras.tree.map_shape_structure(lambda x: _ones(x, "float32"), shapes)


def _ones(shape: tuple, dtype: str) -> object:
    return keras.ops.ones([shape[0] or 2, *(x or _SIZE for x in shape[1:])], dtype)
