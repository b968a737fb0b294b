"""LoRA adapters as PEFT stores them: a folder with a JSON and a safetensors file.

Of a linear module A is (rank, inputs) and B (outputs, rank); of a convolution A is
(rank, channels, \\*window) and B (outputs, rank, 1, ...). Nothing here needs Keras.

Source: `peft` 0.21.2, its `LoraConfig` and the files that `save_pretrained` writes.
"""

import collections
import dataclasses
import math
import os
import pathlib
import re
from typing import Literal

import numpy as np
import pydantic
import safetensors

from kphotoz.errors import InputError, told
from kphotoz.files import write_json, write_tensors
from kphotoz.untrusted import check_pattern, parse_json

__all__ = ["PeftFactors", "read", "write"]

_CONFIG, _TENSORS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_LONGEST = 200  # characters of a module's name, which patterns search; our choice
# What does more than add the product of the factors, and why it cannot come along.
_BEYOND = {
    "use_dora": "DoRA rescales the columns of the whole kernel",
    "use_qalora": "QALoRA pools its inputs",
    "lora_bias": "B has a bias",
    "modules_to_save": "modules trained in full belong to the base",
    "layer_replication": "layers are repeated",
    "target_parameters": "bare parameters have no layer",
    "trainable_token_indices": "rows of an embedding were trained",
    "alora_invocation_tokens": "the adapter is switched on by tokens",
    "monteclora_config": "the factors are drawn at random",
    "use_bdlora": "the factors are block-diagonal",
    "arrow_config": "several adapters are mixed",
    "kasa_config": "the base is changed and the factors have a diagonal between them",
}
# Other ways to start (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) change the base's weights.
_STARTS = (True, False, "gaussian", "eva", "orthogonal", "mica")


@dataclasses.dataclass(frozen=True)
class PeftFactors:
    """The adapter of one module.

    Args:
        a: (rank, inputs) or (rank, channels, \\*window).
        b: (outputs, rank) or (outputs, rank, 1, ...).
        alpha: the update is ``alpha / rank * B @ A``.
    """

    a: np.ndarray
    b: np.ndarray
    alpha: float


class _Config(pydantic.BaseModel):
    peft_type: Literal["LORA"]
    r: int = pydantic.Field(ge=1)
    lora_alpha: float = pydantic.Field(gt=0, allow_inf_nan=False)
    lora_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    use_rslora: bool = False
    bias: str = "none"
    init_lora_weights: bool | str | None = True
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None

    def of(self, module: str) -> tuple[int, float]:
        """Returns the rank of a module, and the alpha that divided by it scales."""
        rank = _matched(self.rank_pattern, module, self.r)
        alpha = _matched(self.alpha_pattern, module, self.lora_alpha)
        return rank, alpha * (math.sqrt(rank) if self.use_rslora else 1.0)


def _matched(patterns: dict | None, module: str, default: float) -> float:
    # The first pattern that fits the last components of the name counts.
    for pattern, value in (patterns or {}).items():
        try:
            check_pattern(pattern)
        except ValueError as error:
            raise _refusal(f"the pattern {pattern!r} ({error})", "Correct it") from None
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def read(
    folder: str | os.PathLike,
) -> tuple[float, dict[str, PeftFactors]]:
    """Returns the dropout and the factors by module name of a PEFT LoRA adapter.

    Values come as float32, whatever they are stored as.

    Raises:
        InputError: the folder holds no whole LoRA adapter in safetensors, or one that
            does more than add ``alpha / rank * B @ A`` to kernels.
    """
    folder = pathlib.Path(folder)
    config = _read_config(folder)
    tensors = _read_tensors(folder)
    pairs: dict[str, dict[str, np.ndarray]] = collections.defaultdict(dict)
    for key, value in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise _refusal(
                f"the tensor {key}",
                "Only factors of linear and convolution modules can be converted",
            )
        if not np.isfinite(value).all():
            raise _refusal(f"values that are not finite in {key}", "Train it again")
        pairs[match[1]][match[2]] = value
        if len(match[1]) > _LONGEST:
            raise _refusal(f"the module name {match[1]!r:.80}", "Give it a shorter one")
    if not pairs:
        raise _refusal("no tensors", "Save the adapter again with save_pretrained")
    return config.lora_dropout, {
        module: _factors(module, pair, *config.of(module))
        for module, pair in pairs.items()
    }


def _factors(module: str, pair: dict, rank: int, alpha: float) -> PeftFactors:
    if sorted(pair) != ["A", "B"]:
        raise _refusal(f"only lora_{''.join(pair)} of {module}", "Save it again")
    a, b = pair["A"], pair["B"]
    if not 0 < alpha < math.inf:
        raise _refusal(f"alpha={alpha} of {module}", "Correct it")
    fits = a.ndim == b.ndim >= 2 and a.shape[0] == b.shape[1] == rank >= 1
    if not fits or any(size != 1 for size in b.shape[2:]):
        raise _refusal(
            f"factors {a.shape} and {b.shape} of {module}, whose rank is {rank} in "
            f"{_CONFIG}",
            "Save it again",
        )
    return PeftFactors(a, b, alpha)


def _read_config(folder: pathlib.Path) -> _Config:
    path = folder / _CONFIG
    if not path.is_file():
        raise _refusal(f"{folder} without {_CONFIG}", "Give the folder of an adapter")
    try:
        raw = parse_json(path.read_bytes())
        if not isinstance(raw, dict):
            raise ValueError("it is no JSON object")
        config = _Config.model_validate(raw)
    except (OSError, ValueError) as error:
        raise _refusal(f"{path}: {told(error)}", "Save it again") from error
    for name, reason in _BEYOND.items():
        if raw.get(name):
            raise _refusal(
                f"{name}={raw[name]!r:.60} ({reason})",
                "Merge it into the base with merge_and_unload, and convert that",
            )
    if config.bias != "none":
        raise _refusal(f"bias={config.bias!r}", "Train with bias='none'")
    if config.init_lora_weights not in (*_STARTS, None):
        raise _refusal(
            f"init_lora_weights={config.init_lora_weights!r}, which changed the base",
            "Let PEFT convert it with path_initial_model_for_weight_conversion",
        )
    return config


def _read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    path = folder / _TENSORS
    if not path.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        what = "adapter_model.bin, a pickle, which can run code" if pickled else "none"
        raise _refusal(
            f"{what} instead of {_TENSORS} in {folder}",
            "Save it again with save_pretrained(safe_serialization=True)",
        )
    try:
        found = safetensors.deserialize(path.read_bytes())
    except (safetensors.SafetensorError, OSError) as error:
        raise _refusal(
            f"{path}: {' '.join(str(error).split())[:200]}", "Copy it again"
        ) from error
    return {name: _values(name, described) for name, described in found}


def _values(name: str, described: dict) -> np.ndarray:
    """Returns float32 values; bfloat16, which numpy lacks, is the front of those."""
    kind, data = described["dtype"], described["data"]
    if kind == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    elif kind in ("F16", "F32", "F64"):
        values = np.frombuffer(data, f"<f{int(kind[1:]) // 8}").astype("float32")
    else:
        raise _refusal(f"{kind} values in {name}", "Save it in float32")
    return values.reshape(described["shape"])


def write(folder: str | os.PathLike, factors: dict[str, PeftFactors]) -> None:
    """Writes a folder that PEFT loads.

    Its patterns name every module whole, so that none of them matches another.

    Args:
        folder: made if it is not there; files of the two names are replaced.
        factors: by module name.

    Raises:
        InputError: the folder cannot be written to.
    """
    ranks = {module: len(x.a) for module, x in factors.items()}
    alphas = {module: _number(x.alpha) for module, x in factors.items()}
    rank, alpha = (_commonest(values) for values in (ranks, alphas))
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "use_rslora": False,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "target_modules": "|".join(map(re.escape, factors)),
        "rank_pattern": _others(ranks, rank),
        "alpha_pattern": _others(alphas, alpha),
    }
    tensors = {}
    for module, x in factors.items():
        for name, value in (("A", x.a), ("B", x.b)):
            key = f"base_model.model.{module}.lora_{name}.weight"
            tensors[key] = np.asarray(value, "float32")
    folder = pathlib.Path(folder)
    write_tensors(folder / _TENSORS, tensors, {"format": "pt"})
    write_json(folder / _CONFIG, config)


def _others(values: dict[str, float], common: float) -> dict[str, float]:
    return {f"^{re.escape(m)}": x for m, x in values.items() if x != common}


def _commonest(values: dict[str, float]) -> float:
    return collections.Counter(values.values()).most_common(1)[0][0]


def _number(value: float) -> float:
    """Returns an int where it is one, as PEFT writes alphas."""
    return int(value) if value == int(value) else value


def _refusal(received: str, fix: str) -> InputError:
    return InputError(f"Wanted: a LoRA adapter of PEFT. Received: {received}. {fix}.")
