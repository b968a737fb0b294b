"""LoRA adapters as PEFT stores them: a folder with a JSON and a safetensors file.

Of a linear module A is (rank, inputs) and B (outputs, rank); of a convolution A is
(rank, channels, \\*window) and B (outputs, rank / groups, 1, ...). Nothing here needs
Keras.

Source: `peft` 0.21.2, its `LoraConfig`, `check_target_module_exists`, `get_pattern_key`
and the files that `save_pretrained` writes.
"""

import collections
import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Literal, TypeVar

import numpy as np
import pydantic
import safetensors

from kphotoz.errors import InputError, message_of
from kphotoz.files import write_json, write_tensors
from kphotoz.untrusted import check_pattern, parse_json

__all__ = ["PeftFactors", "read", "write"]

_Number = TypeVar("_Number", int, float)

_CONFIG, _TENSORS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
# Other keys, and why they cannot come along; the first that is found counts.
_OTHER_KEYS = {
    r"^(?!base_model\.model\.)": "PEFT reads keys of base_model.model. only",
    r"\.lora_embedding_[AB]": "it is a factor of an embedding",
    r"\.lora_magnitude_vector": "DoRA rescales the columns of the whole kernel",
    r"\.lora_[AB]\.bias$": "a factor has a bias",
    r"\.lora_[AB]\..+\.weight$": "an adapter's name is left in it",
    "": "it is no factor of a linear or convolution module",
}
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
# Ways to start that leave the base's weights as they are.
_STARTS = ("gaussian", "eva", "orthogonal", "mica")
# Ways that change them, and can be converted by PEFT.
_CHANGING = ("pissa", "olora", "corda", "lora_ga")
# Options that concern how, where and from what an adapter was trained.
_HARMLESS = {
    *("auto_mapping", "base_model_name_or_path", "corda_config", "eva_config"),
    *("ensure_weight_tying", "fan_in_fan_out", "inference_mode", "loftq_config"),
    *("lora_ga_config", "megatron_config", "megatron_core", "merge_weights"),
    *("peft_version", "qalora_group_size", "revision", "runtime_config"),
    *("task_type", "velora_config"),
}


@dataclasses.dataclass(frozen=True)
class PeftFactors:
    """The adapter of one module.

    Args:
        a: (rank, inputs) or (rank, channels, \\*window).
        b: (outputs, rank) or (outputs, rank / groups, 1, ...).
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
    use_rslora: pydantic.StrictBool | None = False
    bias: str = "none"
    init_lora_weights: bool | str | None = True
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None

    def of(self, module: str) -> tuple[int, float]:
        """Returns the rank of a module, and the alpha that divided by it scales."""
        rank = _matched(self.rank_pattern, module, self.r)
        alpha = _matched(self.alpha_pattern, module, self.lora_alpha)
        return rank, alpha * (math.sqrt(rank) if self.use_rslora else 1.0)

    def adapts(self, module: str) -> bool:
        """Returns whether PEFT gives a module an adapter, as far as the file tells.

        Patterns that could take for ever, as in strangers' files, are not searched.
        """
        targets = self.target_modules
        if self.exclude_modules and _named(self.exclude_modules, module, False):
            return False
        if targets is None:
            return True
        if isinstance(targets, str):
            return targets.lower() == "all-linear" or _named(targets, module, True)
        named = _named(targets, module, True)
        return named and (module in targets or self._in_layers(module))

    def _in_layers(self, module: str) -> bool:
        wanted, patterns = self.layers_to_transform, self.layers_pattern or []
        if wanted is None or wanted == []:
            return True
        patterns = [patterns] if isinstance(patterns, str) else patterns
        if not all(map(_is_quick, patterns)):
            return True
        texts = [rf"(?:^|.*?\.){x}\.(?P<index>\d+)\." for x in patterns]
        texts = texts or [r".*?\.[^.]*\.(?P<index>\d+)\."]
        match = next(filter(None, (re.match(text, module) for text in texts)), None)
        wanted = [wanted] if isinstance(wanted, int) else wanted
        return match is not None and int(match["index"]) in wanted


def _named(names: list[str] | str, module: str, unknown: bool) -> bool:
    """Returns whether a pattern fits the whole name, or one of a list its end."""
    if isinstance(names, str):
        return bool(re.fullmatch(names, module)) if _is_quick(names) else unknown
    return any(module == name or module.endswith(f".{name}") for name in names)


def _is_quick(pattern: str) -> bool:
    try:
        check_pattern(pattern)
    except ValueError:
        return False
    return True


def _matched(
    patterns: dict[str, _Number] | None, module: str, default: _Number
) -> _Number:
    # The first pattern that fits the last components of the name counts.
    for pattern, value in (patterns or {}).items():
        try:
            check_pattern(pattern)
        except ValueError as error:
            raise _refusal(f"the pattern {pattern!r} ({error})", "Correct it") from None
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    # A name with characters of patterns in it may be found by itself alone.
    return (patterns or {}).get(module, default)


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
            reason = next(x for text, x in _OTHER_KEYS.items() if re.search(text, key))
            raise _refusal(
                f"the tensor {key:.200} ({reason})",
                "Save plain factors of linear and convolution modules with "
                "save_pretrained",
            )
        if not np.isfinite(value).all():
            raise _refusal(f"values that are not finite in {key}", "Train it again")
        pairs[match[1]][match[2]] = value
        if len(match[1]) > _LONGEST:
            raise _refusal(f"the module name {match[1]!r:.80}", "Give it a shorter one")
    if not pairs:
        raise _refusal("no tensors", "Save the adapter again with save_pretrained")
    _check_modules(config, list(pairs))
    return config.lora_dropout, {
        module: _factors(module, pair, *config.of(module))
        for module, pair in pairs.items()
    }


def _check_modules(config: _Config, modules: list[str]) -> None:
    for module in modules:
        outer, *inner = module.split(".base_layer.")
        if inner and outer in modules:
            raise _refusal(
                f"{outer}, an nn.MultiheadAttention (its factors change query, key and "
                "value as one matrix)",
                "Train it with a linear module for each",
            )
        if not config.adapts(module):
            raise _refusal(
                f"factors of {module}, which the targets in {_CONFIG} leave out, so "
                "that PEFT passes over them",
                "Save the adapter again with save_pretrained",
            )


def _factors(module: str, pair: dict, rank: int, alpha: float) -> PeftFactors:
    if sorted(pair) != ["A", "B"]:
        raise _refusal(f"only lora_{''.join(pair)} of {module}", "Save it again")
    a, b = pair["A"], pair["B"]
    if not 0 < alpha < math.inf:
        raise _refusal(f"alpha={alpha} of {module}", "Correct it")
    fits = a.ndim == b.ndim >= 2 and a.shape[0] == rank >= b.shape[1] >= 1
    # Of a grouped convolution, B holds for each output the ranks of its group.
    fits = fits and (rank % b.shape[1] == 0 if a.ndim > 2 else rank == b.shape[1])
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
        raise _refusal(f"{path}: {message_of(error)}", "Save it again") from error
    known = _HARMLESS | _Config.model_fields.keys() | _BEYOND.keys()
    for name in sorted(raw.keys() - known):
        if raw[name]:
            raise _refusal(
                f"{name!r:.60}={raw[name]!r:.60}, an option that PEFT 0.21.2 lacks",
                f"If it concerns training alone, take it out of {_CONFIG}",
            )
    for name, reason in _BEYOND.items():
        if raw.get(name):
            raise _refusal(
                f"{name}={raw[name]!r:.60} ({reason})",
                "Merge it into the base with merge_and_unload, and convert that",
            )
    if config.bias != "none":
        raise _refusal(f"bias={config.bias!r}", "Train with bias='none'")
    _check_start(config.init_lora_weights)
    return config


def _check_start(start: bool | str | None) -> None:
    if not isinstance(start, str) or start.lower() in _STARTS:
        return
    received = f"init_lora_weights={start!r:.60}"
    if start.lower().startswith(_CHANGING):
        raise _refusal(
            f"{received}, which changed the base",
            "Let PEFT convert it with path_initial_model_for_weight_conversion",
        )
    if start.lower() == "loftq":
        raise _refusal(f"{received}, which quantized the base", "Start in another way")
    raise _refusal(f"{received}, which PEFT 0.21.2 lacks", "Start in another way")


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
        stored = safetensors.deserialize(path.read_bytes())
    except (safetensors.SafetensorError, OSError) as error:
        raise _refusal(
            f"{path}: {' '.join(str(error).split())[:200]}", "Copy it again"
        ) from error
    return {name: _values(name, described) for name, described in stored}


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


def write(
    folder: str | os.PathLike, factors: dict[str, PeftFactors], dropout: float = 0.0
) -> None:
    """Writes a folder that PEFT loads.

    Its patterns name every module whole, so that none of them matches another.

    Args:
        folder: made if it is not there; files of the two names are replaced.
        factors: by module name.
        dropout: rate. [default: 0]

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
        "lora_dropout": dropout,
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


def _others(values: Mapping[str, float], common: float) -> dict[str, float]:
    return {f"^{re.escape(m)}": x for m, x in values.items() if x != common}


def _commonest(values: Mapping[str, float]) -> float:
    return collections.Counter(values.values()).most_common(1)[0][0]


def _number(value: float) -> float:
    """Returns an int where it is one, as PEFT writes alphas."""
    return int(value) if value == int(value) else value


def _refusal(received: str, fix: str) -> InputError:
    return InputError(f"Wanted: a LoRA adapter of PEFT. Received: {received}. {fix}.")
