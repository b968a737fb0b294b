import keras
import numpy as np
import pytest

from kphotoz import adapters, models
from kphotoz.errors import InputError
from kphotoz.regimes.moving import let_move
from kphotoz.regimes.regime import Trainable
from kphotoz.training.run_folder import RunFolder

STATISTICS = {"moving_mean", "moving_variance"}
AFFINE = {"gamma", "beta"}
HEAD = {"head_redshift/kernel", "head_redshift/bias"}
STEM = {"stem_conv/kernel"}


def network():
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="stem_conv")(image)
    x = keras.layers.BatchNormalization(momentum=0.5, name="stem_norm")(x)
    x = keras.layers.Conv2D(4, 3, name="block1_conv")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.2, seed=3, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(1, name="head_redshift")(x))


def trained(model):
    """Returns the paths of the weights that two steps moved, and checks them."""
    before = adapters.snapshot(model)
    jit = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
    images = np.random.default_rng(0).normal(2, 1, (8, 8, 8, 3)).astype("float32")
    for _ in range(2):
        model.train_on_batch(images, np.ones((8, 1)))
    adapters.check_moved(before, model)
    now = adapters.snapshot(model)
    return {path for path in now if now[path] != before[path]}


@pytest.mark.parametrize(
    ("policy", "norm"),
    [
        ("freeze", set()),
        ("adapt_statistics", STATISTICS),
        ("train", STATISTICS | AFFINE),
    ],
)
@pytest.mark.parametrize("moves", ["last", "stem_and_head", "everything"])
def test_normalisation_obeys_its_policy_whatever_else_moves(moves, policy, norm):
    what = Trainable(start="base", moves=moves, batch_norm=policy)
    wanted = HEAD | {f"stem_norm/{name}" for name in norm}
    if moves != "last":
        wanted |= STEM
    if moves == "everything":
        wanted |= {"block1_conv/kernel", "block1_conv/bias"}
    assert trained(let_move(network(), what)) == wanted


@pytest.mark.parametrize("name", ["catalog_mlp", "catalog_4x200"])
def test_a_network_of_photometry_has_a_stem_too(make_catalog, name):
    sample = make_catalog(30)
    model = models.build_photoz(
        {"name": name},
        sample.inputs(),
        sample.table["redshift"],
        bands="gri",
        pixel_scale=None,
        seed=0,
    )
    moved = let_move(model, Trainable(start="base", moves="stem_and_head"))
    names = {layer.name for layer in moved.layers if layer.trainable_weights}
    first, *between, _ = [
        layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)
    ]
    assert first in names and "head_redshift" in names
    assert not names & {name for name in between if not name.startswith("head")}


def test_a_network_without_a_stem_has_no_stem_to_move():
    image = keras.Input((3,))
    model = keras.Model(image, keras.layers.Dense(1, name="head_redshift")(image))
    with pytest.raises(InputError, match="named stem_conv|stem_dense to train"):
        let_move(model, Trainable(start="base", moves="stem_and_head"))


def test_exchanged_normalisation_computes_the_same_and_survives_a_file(tmp_path):
    base = network()
    images = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype("float32")
    before = keras.ops.convert_to_numpy(base(images))
    what = Trainable(start="base", moves="last", batch_norm="adapt_statistics")
    model = let_move(base, what)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(images)), before)
    trained(model)
    RunFolder(tmp_path).save_model(model)
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    after = keras.ops.convert_to_numpy(model(images))
    assert (after != before).all()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(loaded(images)), after)
    # A base whose policy is another one is given the regime's.
    again = let_move(loaded, Trainable(start="base", moves="everything"))
    assert again.get_layer("stem_norm").policy == "train"
    assert trained(again) >= {f"stem_norm/{name}" for name in AFFINE}


def test_a_model_without_such_layers_is_refused_with_its_names():
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(1, name="out")(image))
    with pytest.raises(InputError, match="head_.*out"):
        let_move(model, Trainable(start="base", moves="head"))
