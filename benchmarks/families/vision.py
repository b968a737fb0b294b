"""Backbones of keras_hub.models that see images or films, made small by hand."""

import keras_hub

from families.case import Case, hub

__all__ = ["VISION", "csp_net", "dino", "hgnet", "resnet", "vit"]

IMAGE = (32, 32, 5)
# A dropped path gives its factors no gradient in that step.
NO_DROP = "without dropped paths"
PATCHES = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}


def resnet(**arguments):
    """Returns a ResNet of two stages."""
    given = {
        **{"input_conv_filters": [64], "input_conv_kernel_sizes": [3]},
        **{"stackwise_num_filters": [64, 16], "stackwise_num_blocks": [2, 1]},
        **{"stackwise_num_strides": [1, 2], "block_type": "basic_block"},
        "image_shape": IMAGE,
    }
    return keras_hub.models.ResNetBackbone(**given | arguments)


def dino(**arguments):
    """Returns a DINOv2 with registers."""
    given = PATCHES | {
        **{"intermediate_dim": 32, "image_shape": (32, 32, 3)},
        **{"position_embedding_shape": (32, 32, 3), "use_mask_token": False},
    }
    return keras_hub.models.DINOV2Backbone(**given | arguments)


def hgnet(**arguments):
    """Returns an HGNetV2 of two stages."""
    given = {
        **{"depths": [1, 1], "embedding_size": 8, "hidden_sizes": [16, 16]},
        **{"stem_channels": [5, 8, 8], "hidden_act": "relu"},
        "use_learnable_affine_block": True,
        "stackwise_stage_filters": [[8, 8, 16, 1, 2, 3], [16, 8, 16, 1, 2, 3]],
        "apply_downsample": [False, True],
        "use_lightweight_conv_block": [False, True],
        "image_shape": IMAGE,
    }
    return keras_hub.models.HGNetV2Backbone(**given | arguments)


def vit(**arguments):
    """Returns a vision transformer of two layers."""
    given = PATCHES | {"mlp_dim": 32, "image_shape": IMAGE}
    return keras_hub.models.ViTBackbone(**given | arguments)


def csp_net(**arguments):
    """Returns a CSPDarkNet of two stages."""
    given = {
        **{"stem_filters": 8, "stem_kernel_size": 3, "stem_strides": 1},
        **{"stackwise_depth": [1, 1], "stackwise_strides": [1, 2]},
        **{"stackwise_num_filters": [8, 16], "block_type": "dark_block"},
        "stage_type": "dark",
        "image_shape": IMAGE,
    }
    return keras_hub.models.CSPNetBackbone(**given | arguments)


def mobilenet():
    """Returns a MobileNetV3 of two stages."""
    return keras_hub.models.MobileNetBackbone(
        stackwise_expansion=[[16], [16, 24]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [12, 12]],
        stackwise_kernel_size=[[3], [5, 5]],
        stackwise_num_strides=[[2], [2, 1]],
        stackwise_se_ratio=[[None], [0.25, 0.25]],
        stackwise_activation=[["relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1], [2, 2]],
        output_num_filters=24,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=24,
        squeeze_and_excite=0.5,
        image_shape=IMAGE,
    )


def mobilenet_v5():
    """Returns a MobileNetV5 with each of its blocks: fused, inverted, attention."""
    return keras_hub.models.MobileNetV5Backbone(
        stackwise_block_types=[["er"], ["uir", "mqa"]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [16, 16]],
        stackwise_strides=[[2], [2, 1]],
        stackwise_act_layers=[["relu"], ["relu", "relu"]],
        stackwise_exp_ratios=[[4.0], [4.0, 1.0]],
        stackwise_se_ratios=[[0.0], [0.0, 0.0]],
        stackwise_dw_kernel_sizes=[[0], [5, 3]],
        stackwise_dw_start_kernel_sizes=[[0], [0, 0]],
        stackwise_dw_end_kernel_sizes=[[0], [0, 0]],
        stackwise_exp_kernel_sizes=[[3], [0, 0]],
        stackwise_pw_kernel_sizes=[[1], [0, 0]],
        stackwise_num_heads=[[0], [0, 2]],
        stackwise_key_dims=[[0], [0, 8]],
        stackwise_value_dims=[[0], [0, 8]],
        stackwise_kv_strides=[[0], [0, 1]],
        stackwise_use_cpe=[[False], [False, False]],
        filters=5,
        stem_size=8,
        use_msfa=False,
        image_shape=IMAGE,
    )


def efficientnet():
    """Returns an EfficientNet of a fused and an unfused stage.

    Its configuration forgets `num_features`, so that only the default can be copied.
    """
    return keras_hub.models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0, 1.0],
        stackwise_depth_coefficients=[1.0, 1.0],
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 2],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[2, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25],
        stackwise_strides=[1, 2],
        stackwise_block_types=["fused", "unfused"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        input_shape=IMAGE,
    )


def mit(**arguments):
    """Returns a mix transformer of two stages."""
    given = {
        **{"layerwise_depths": [1, 1], "num_layers": 2, "hidden_dims": [8, 16]},
        **{"layerwise_num_heads": [1, 2], "layerwise_sr_ratios": [2, 1]},
        **{"layerwise_patch_sizes": [7, 3], "layerwise_strides": [4, 2]},
        **{"max_drop_path_rate": 0.0, "image_shape": IMAGE},
    }
    return keras_hub.models.MiTBackbone(**given | arguments)


def _make(name: str, **arguments):
    return lambda: getattr(keras_hub.models, f"{name}Backbone")(**arguments)


VISION: list[Case] = [
    hub("CSPNet", csp_net),
    hub("DINOV2", dino),
    hub(
        "DINOV3",
        _make("DINOV3", **PATCHES, intermediate_dim=32, image_shape=(32, 32, 3)),
    ),
    hub("DeiT", _make("DeiT", **PATCHES, intermediate_dim=32, image_shape=IMAGE)),
    hub(
        "DenseNet",
        _make(
            "DenseNet", stackwise_num_repeats=[2, 2], growth_rate=8, image_shape=IMAGE
        ),
    ),
    hub("EfficientNet", efficientnet, note="only with the default num_features"),
    hub("HGNetV2", hgnet),
    hub("MiT", mit, note=NO_DROP),
    hub("MobileNet", mobilenet),
    hub("MobileNetV5", mobilenet_v5),
    hub("ResNet", resnet),
    hub(
        "SwinTransformer",
        _make(
            "SwinTransformer",
            **{"image_shape": IMAGE, "embed_dim": 8, "depths": (2, 2)},
            **{"num_heads": (2, 2), "window_size": 4, "drop_path": 0.0},
        ),
        note=NO_DROP,
    ),
    hub(
        "VGG",
        _make(
            "VGG",
            **{"stackwise_num_repeats": [1, 2], "stackwise_num_filters": [8, 16]},
            image_shape=IMAGE,
        ),
    ),
    hub("ViT", vit),
    hub(
        "ViTDet",
        _make(
            "ViTDet",
            **{"hidden_size": 16, "num_layers": 2, "intermediate_dim": 32},
            **{"num_heads": 2, "global_attention_layer_indices": [1]},
            **{"image_shape": (32, 32, 3), "patch_size": 8, "num_output_channels": 8},
            window_size=2,
        ),
    ),
    hub(
        "VideoPrism",
        _make(
            "VideoPrism",
            **{"num_frames": 2, "patch_size": 8, "hidden_dim": 16, "num_heads": 2},
            **{"intermediate_dim": 32, "num_spatial_layers": 2},
            **{"num_temporal_layers": 1, "num_auxiliary_layers": 0},
            image_shape=(16, 16, 3),
        ),
    ),
    hub(
        "Xception",
        _make(
            "Xception",
            **{"stackwise_conv_filters": [[8, 12], [16, 16]]},
            **{"stackwise_pooling": [True, False], "image_shape": (71, 71, 5)},
        ),
    ),
]
