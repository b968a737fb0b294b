import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError


def test_report_has_a_row_for_every_convolution_and_linear_layer(trained):
    rows = {row["path"]: row for row in adapters.report(trained)}
    assert list(rows) == ["stem", "block", "head_1", "head_2"]
    # Grouped kernel (3, 3, 3, 8): A has 27 rows.
    assert rows["block"] | {"update_norm": 0} == {
        "path": "block",
        "kind": "LoRAConv2D",
        "shape": (3, 3, 3, 8),
        "rank": 2,
        "alpha": 3.0,
        "parameters": 2 * (27 + 8),
        "trainable": 2 * (27 + 8),
        "update_norm": 0,
    }
    assert (rows["head_2"]["rank"], rows["head_2"]["trainable"]) == (0, 7 + 1)


def test_norm_of_the_update_is_frobenius(trained):
    layer = trained.get_layer("head_1")
    a, b = (keras.ops.convert_to_numpy(v) for v in (layer.lora_a, layer.lora_b))
    row = next(row for row in adapters.report(trained) if row["path"] == "head_1")
    assert row["update_norm"] == pytest.approx(np.sqrt(((1.5 * a @ b) ** 2).sum()))


def test_count_is_of_the_adapter_only(trained):
    assert adapters.count(trained) == 2 * (45 + 6 + 27 + 8 + 8 + 7)


def test_merged_kernel_is_the_explicit_sum(trained):
    layer = trained.get_layer("stem")
    kernel, a, b = (
        keras.ops.convert_to_numpy(v)
        for v in (layer.base_kernel, layer.lora_a, layer.lora_b)
    )
    merged = adapters.merge(trained).get_layer("stem")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(merged.kernel),
        kernel + 1.5 * np.einsum("hwir,ro->hwio", a, b),
        atol=1e-6,
    )


def test_merged_model_trains_in_full(trained):
    merged = adapters.merge(trained)
    assert len(merged.trainable_weights) == len(merged.weights) - 2


def test_model_without_adapters_cannot_be_merged(base):
    with pytest.raises(InputError, match="'m'.*none"):
        adapters.merge(base)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_factors_that_are_not_finite_are_neither_merged_nor_saved(
    trained, bad, tmp_path
):
    layer = trained.get_layer("block")
    layer.lora_b.assign(np.full(layer.lora_b.shape, bad))
    with pytest.raises(InputError, match="lora_b of block with 16 values"):
        adapters.merge(trained)
    with pytest.raises(InputError, match="lora_b of block with 16 values"):
        adapters.save(trained, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
