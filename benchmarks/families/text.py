"""Backbones of keras_hub.models that read text or sound, made small by hand."""

import keras_hub

from families.case import Case, hub

__all__ = ["TEXT"]

WORDS = {"vocabulary_size": 50, "num_layers": 2, "intermediate_dim": 32}
HEADS = WORDS | {"num_heads": 2, "hidden_dim": 16}
GROUPS = WORDS | {"num_query_heads": 4, "num_key_value_heads": 2, "hidden_dim": 16}
EXPERTS = GROUPS | {"num_experts": 4, "top_k": 2}
GEMMA = GROUPS | {"head_dim": 4}
DELTA_NET = {
    "head_dim": 8,
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4},
    **{"linear_key_head_dim": 4, "linear_value_head_dim": 4, "layer_types": None},
}
GEMMA_3N = {
    **{"text_vocab_size": 50, "text_hidden_size": 16, "num_hidden_layers": 2},
    **{"pad_token_id": 0, "num_attention_heads": 2, "num_key_value_heads": 1},
    **{"head_dim": 8, "intermediate_size": [32, 32], "sliding_window": 4},
    **{"hidden_activation": "gelu_approximate", "rope_theta": 10000.0},
    **{"layer_types": ["sliding_attention", "full_attention"]},
    **{"max_position_embeddings": 16, "vocab_size_per_layer_input": 50},
    **{"hidden_size_per_layer_input": 4, "altup_num_inputs": 2, "laurel_rank": 2},
}
SMOL = {
    **{"vocabulary_size": 50, "hidden_dim": 16, "intermediate_dim": 32},
    **{"num_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False},
    **{"rope_layer_enabled_list": [True, False], "layer_types": ["attention"] * 2},
    **{"layer_norm_epsilon": 1e-5, "max_position_embeddings": 16},
    **{"rope_theta": 10000.0, "partial_rotary_factor": 1.0},
}
T5_GEMMA = {
    "vocabulary_size": 50,
    **{
        f"{part}_{name}": value
        for part in ("encoder", "decoder")
        for name, value in {
            "hidden_dim": 16,
            "intermediate_dim": 32,
            "num_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "layer_types": ["sliding_attention", "full_attention"],
        }.items()
    },
    "sliding_window": 4,
}
ENCODERS = {
    "Albert": HEADS | {"embedding_dim": 8, "num_groups": 1, "num_inner_repetitions": 2},
    "Bert": HEADS,
    "DebertaV3": HEADS | {"bucket_size": 4, "max_sequence_length": 16},
    "DistilBert": HEADS,
    "ESM": HEADS,
    "FNet": WORDS | {"hidden_dim": 16},
    "Roberta": HEADS,
    "RoformerV2": HEADS | {"head_size": 8},
    "XLMRoberta": HEADS,
    "XLNet": HEADS,
    "Electra": {
        **{"vocab_size": 50, "num_layers": 2, "num_heads": 2, "hidden_dim": 16},
        **{"embedding_dim": 8, "intermediate_dim": 32},
    },
}
DECODERS = {
    "Bloom": HEADS,
    "Falcon": WORDS | {"num_attention_heads": 2, "hidden_dim": 16},
    "GPT2": HEADS,
    "GPTNeoX": HEADS | {"rotary_percentage": 0.5},
    "Gemma": GEMMA,
    "Gemma3": GEMMA | {"image_size": 16},
    "Gemma3n": GEMMA_3N,
    "Gemma4": GEMMA | {"image_size": 16, "sliding_window_size": 4},
    "GptOss": EXPERTS | {"head_dim": 4, "sliding_window": 4},
    "Llama": GROUPS,
    "Llama3": GROUPS,
    "Mistral": GROUPS | {"sliding_window": 4},
    "Mixtral": EXPERTS,
    "OPT": HEADS,
    "Phi3": GROUPS,
    "Qwen": GROUPS,
    "Qwen3": GROUPS | {"head_dim": 4},
    "Qwen3Moe": EXPERTS | {"moe_intermediate_dim": 16, "head_dim": 4},
    "Qwen3_5": GEMMA
    | DELTA_NET
    | {"layer_types": ["linear_attention", "full_attention"]},
    "Qwen3_5Moe": {k: v for k, v in GEMMA.items() if k != "intermediate_dim"}
    | DELTA_NET
    | {"moe_intermediate_dim": 16, "shared_expert_intermediate_size": 16}
    | {"num_experts": 4, "top_k": 2}
    | {"layer_types": ["linear_attention", "full_attention"]},
    "QwenMoe": EXPERTS
    | {"moe_intermediate_dim": 16, "shared_expert_intermediate_dim": 16},
    "RWKV7": {
        **{"vocabulary_size": 50, "hidden_size": 16, "head_size": 8, "num_layers": 2},
        **{"intermediate_dim": 32, "gate_lora": 4, "mv_lora": 4, "aaa_lora": 4},
        "decay_lora": 4,
    },
    "SmolLM3": SMOL,
}
BOTH_WAYS = {
    "Bart": HEADS,
    "EdRec": {
        **{"vocab_size": 50, "num_layers_enc": 2, "num_layers_dec": 2},
        **{"hidden_dim": 16, "intermediate_dim": 32, "num_heads": 2},
    },
    "T5": HEADS,
    "T5Gemma": T5_GEMMA,
    "T5Gemma2": T5_GEMMA,
}
SOUND = {
    "Moonshine": {
        **{"vocabulary_size": 50, "filter_dim": 16, "encoder_num_layers": 2},
        **{"decoder_num_layers": 2, "hidden_dim": 16, "intermediate_dim": 32},
        **{"encoder_num_heads": 2, "decoder_num_heads": 2},
    },
    "Whisper": HEADS
    | {"max_encoder_sequence_length": 16, "max_decoder_sequence_length": 16},
}
# As many samples of sound as the strides of the first convolutions need.
SHAPES = {
    "Moonshine": {"encoder_input_values": (1600, 1), "encoder_padding_mask": (1600,)},
    "Whisper": {"encoder_features": (16, 80)},
}


def _make(name: str, arguments: dict):
    return lambda: getattr(keras_hub.models, f"{name}Backbone")(**arguments)


TEXT: list[Case] = [
    hub(name, _make(name, arguments), SHAPES.get(name))
    for kind in (ENCODERS, DECODERS, BOTH_WAYS, SOUND)
    for name, arguments in kind.items()
]
