"""Backbones of keras_hub.models that are made of others or take several inputs."""

import keras_hub

from families.case import Case, hub
from families.vision import dino, hgnet, mit, resnet, vit

__all__ = ["SEVERAL"]

RGB = (32, 32, 3)
LAYERS = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
SIGHT = LAYERS | {"patch_size": 8, "image_shape": RGB}
WORDS = LAYERS | {"vocabulary_size": 50, "embedding_dim": 16, "max_sequence_length": 7}
DECODER = {
    **{"vocabulary_size": 50, "image_size": 16, "num_layers": 2},
    **{"num_query_heads": 4, "num_key_value_heads": 2, "hidden_dim": 16},
    **{"intermediate_dim": 32, "head_dim": 4},
}


def two_towers(name: str, **arguments):
    """Returns a function that makes a model of a picture and a text encoder."""

    def make():
        models = keras_hub.models
        sight = getattr(models, f"{name}VisionEncoder")(**SIGHT)
        text = getattr(models, f"{name}TextEncoder")(**WORDS)
        backbone = getattr(models, f"{name}Backbone")
        return backbone(vision_encoder=sight, text_encoder=text, **arguments)

    return make


def basnet():
    """Returns a BASNet around a ResNet-34's stages, which it counts on."""
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    return keras_hub.models.BASNetBackbone(
        encoder, num_classes=1, image_shape=(64, 64, 3), projection_filters=64
    )


def blip2():
    """Returns a BLIP-2 with an OPT."""
    from keras_hub.src.models.blip2.blip2_custom_opt import BLIP2CustomOPT
    from keras_hub.src.models.blip2.blip2_qformer import BLIP2QFormer

    sight = keras_hub.models.BLIP2VisionEncoder(
        **LAYERS | {"image_size": 32, "patch_size": 8, "dropout_rate": 0.0},
        **{"use_patch_bias": True, "use_class_token": True, "use_mha_bias": True},
        **{"use_mlp_bias": True, "layer_norm_epsilon": 1e-6},
        initializer_range=0.02,
    )
    queries = BLIP2QFormer(
        **LAYERS | {"num_query_tokens": 2, "vision_dim": 16, "dropout": 0.0},
        **{"cross_attention_frequency": 1, "layer_norm_epsilon": 1e-6},
    )
    words = BLIP2CustomOPT(
        **LAYERS | {"vocabulary_size": 50, "num_query_tokens": 2, "dropout": 0.0},
        **{"max_sequence_length": 16, "qformer_hidden_dim": 16},
    )
    return keras_hub.models.BLIP2Backbone(sight, queries, words)


def deeplab():
    """Returns a DeepLabV3 around a ResNet."""
    return keras_hub.models.DeepLabV3Backbone(
        resnet(image_shape=(None, None, 5)),
        spatial_pyramid_pooling_key="P3",
        low_level_feature_key="P2",
        **{"upsampling_size": 2, "dilation_rates": [2, 3], "projection_filters": 8},
        image_shape=(32, 32, 5),
    )


def depth_anything():
    """Returns a DepthAnything around a DINOv2."""
    return keras_hub.models.DepthAnythingBackbone(
        dino(),
        **{"reassemble_factors": [2, 1], "neck_hidden_dims": [8, 16]},
        **{"fusion_hidden_dim": 16, "head_hidden_dim": 8, "head_in_index": -1},
        feature_keys=["stage1", "stage2"],
    )


def d_fine():
    """Returns a D-FINE around an HGNetV2."""
    sizes = (32, 32, 3)
    encoder = hgnet(
        stem_channels=[3, 8, 8],
        image_shape=(None, None, 3),
        out_features=["stage1", "stage2"],
    )
    return keras_hub.models.DFineBackbone(
        encoder,
        **{"decoder_in_channels": [16, 16], "encoder_hidden_dim": 16},
        **{"num_labels": 5, "num_denoising": 0, "learn_initial_query": False},
        **{"num_queries": 6, "anchor_image_size": sizes[:2], "feat_strides": [4, 8]},
        **{"num_feature_levels": 2, "hidden_dim": 16, "encoder_in_channels": [16, 16]},
        **{"encode_proj_layers": [1], "num_attention_heads": 2},
        **{"encoder_ffn_dim": 32, "num_encoder_layers": 1, "hidden_expansion": 0.5},
        **{"depth_multiplier": 0.5, "eval_idx": -1, "num_decoder_layers": 2},
        **{"decoder_attention_heads": 2, "decoder_ffn_dim": 32},
        **{"decoder_n_points": [2, 2], "lqe_hidden_dim": 8, "num_lqe_layers": 2},
        **{"out_features": ["stage1", "stage2"], "image_shape": sizes, "seed": 0},
    )


def flux():
    """Returns a Flux of one double and one single block."""
    return keras_hub.models.FluxBackbone(
        **{"input_channels": 8, "hidden_size": 16, "mlp_ratio": 2.0, "num_heads": 2},
        **{"depth": 1, "depth_single_blocks": 1, "axes_dim": [2, 2, 4]},
        **{"theta": 10000, "use_bias": True, "image_shape": (6, 8)},
        **{"text_shape": (5, 8), "image_ids_shape": (6, 3), "text_ids_shape": (5, 3)},
        y_shape=(16,),
    )


def pali_gemma():
    """Returns a PaliGemma."""
    return keras_hub.models.PaliGemmaBackbone(
        **DECODER,
        **{"vit_patch_size": 8, "vit_num_heads": 2, "vit_hidden_dim": 16},
        **{"vit_num_layers": 1, "vit_intermediate_dim": 32},
    )


def parseq():
    """Returns a PARSeq around a vision transformer."""
    return keras_hub.models.PARSeqBackbone(
        vit(use_class_token=False),
        **{"vocabulary_size": 52, "max_label_length": 8, "decoder_hidden_dim": 16},
        **{"num_decoder_layers": 1, "num_decoder_heads": 2, "decoder_mlp_dim": 32},
    )


def retinanet():
    """Returns a RetinaNet's pyramid around a ResNet."""
    encoder = resnet(
        image_shape=(None, None, 5),
        stackwise_num_filters=[64, 16, 16, 16],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
    )
    return keras_hub.models.RetinaNetBackbone(
        encoder, min_level=3, max_level=5, use_p5=False, image_shape=(64, 64, 5)
    )


def sam():
    """Returns a SAM."""
    encoder = keras_hub.models.ViTDetBackbone(
        **{"hidden_size": 16, "num_layers": 2, "intermediate_dim": 32},
        **{"num_heads": 2, "global_attention_layer_indices": [1]},
        **{"image_shape": RGB, "patch_size": 8, "num_output_channels": 8},
        window_size=2,
    )
    prompts = keras_hub.layers.SAMPromptEncoder(
        **{"hidden_size": 8, "image_embedding_size": (4, 4)},
        **{"input_image_size": RGB[:2], "mask_in_channels": 16},
    )
    masks = keras_hub.layers.SAMMaskDecoder(
        **{"num_layers": 1, "hidden_size": 8, "intermediate_dim": 16, "num_heads": 2},
        **{"embedding_dim": 8, "num_multimask_outputs": 3, "iou_head_depth": 2},
        iou_head_hidden_dim=8,
    )
    return keras_hub.models.SAMBackbone(encoder, prompts, masks)


def sam3():
    """Returns a SAM 3."""
    layers = keras_hub.layers
    sizes = {"image_shape": RGB, "patch_size": 8}
    return keras_hub.models.SAM3PromptableConceptBackbone(
        layers.SAM3VisionEncoder(
            **LAYERS | sizes,
            **{"fpn_hidden_dim": 16, "fpn_scale_factors": [4.0, 2.0, 1.0, 0.5]},
            **{"pretrain_image_shape": RGB, "window_size": 2},
            global_attn_indexes=[1],
        ),
        layers.SAM3TextEncoder(**{k: WORDS[k] for k in WORDS if "max" not in k}),
        layers.SAM3GeometryEncoder(**LAYERS, roi_size=2),
        layers.SAM3DetrEncoder(**LAYERS),
        layers.SAM3DetrDecoder(**LAYERS | sizes, num_queries=4),
        layers.SAM3MaskDecoder(num_upsampling_stages=3, hidden_dim=16, num_heads=2),
    )


def stable_diffusion():
    """Returns a Stable Diffusion 3 without T5."""
    models = keras_hub.models
    words = WORDS | {"intermediate_output_index": 0}
    from keras_hub.src.models.vae.vae_backbone import VAEBackbone

    vae = VAEBackbone(
        **{"encoder_num_filters": [32] * 4, "encoder_num_blocks": [1] * 4},
        **{"decoder_num_filters": [32] * 4, "decoder_num_blocks": [1] * 4},
        **{"sampler_method": "mode", "sample_channels": 32},
    )
    return models.StableDiffusion3Backbone(
        **{"mmdit_patch_size": 2, "mmdit_hidden_dim": 16, "mmdit_num_layers": 2},
        **{"mmdit_num_heads": 2, "mmdit_position_size": 8, "mmdit_qk_norm": None},
        **{"mmdit_dual_attention_indices": None, "vae": vae},
        clip_l=models.CLIPTextEncoder(**words, name="clip_l"),
        clip_g=models.CLIPTextEncoder(**words, name="clip_g"),
        image_shape=(64, 64, 3),
    )


SEVERAL: list[Case] = [
    hub("BASNet", basnet),
    hub("BLIP2", blip2),
    hub("CLIP", two_towers("CLIP", projection_dim=8)),
    hub("DFine", d_fine),
    hub("DeepLabV3", deeplab),
    hub(
        "DepthAnything",
        depth_anything,
        note="without neck/fusion_stage_0/residual_layer1, which nothing reads",
        targets="^(?!neck/fusion_stage_0/residual_layer1/|head/conv3$)",
    ),
    hub("Flux", flux),
    hub("MetaCLIP2", two_towers("MetaCLIP2", projection_dim=8)),
    hub("PARSeq", parseq),
    hub("PaliGemma", pali_gemma),
    hub("RetinaNet", retinanet),
    hub(
        "SAM",
        sam,
        {
            **{"points": (1, 2), "labels": (1,), "boxes": (1, 2, 2)},
            "masks": (1, 16, 16, 1),
        },
    ),
    hub(
        "SAM3PromptableConcept",
        sam3,
        {"boxes": (1, 5), "box_labels": (1,)},
        note="without vision_neck/fpn_layer_3, which nothing reads",
        targets="^(?!.*vision_neck/fpn_layer_3/)",
        allow_full_rank=True,
    ),
    hub(
        "SegFormer",
        lambda: keras_hub.models.SegFormerBackbone(mit(), projection_filters=16),
    ),
    hub("SigLIP", two_towers("SigLIP")),
    hub("StableDiffusion3", stable_diffusion),
]
