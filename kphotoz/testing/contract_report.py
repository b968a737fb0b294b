"""What a model that keeps the adapter contract was seen to do."""

import dataclasses

__all__ = ["ContractReport"]


@dataclasses.dataclass(frozen=True)
class ContractReport:
    """One row of a table of models that keep the adapter contract.

    Args:
        kind: class name of the adapted model: "AdaptedFunctional" where LoRA layers
            were exchanged for those of a graph, else "AdaptedModel".
        adapted: paths of the layers with an adapter.
        skipped: {path: why} of the convolutions and linear layers without one.
        trainable: entries that train in the adapted model.
        parameters: entries of the base's weights.
        fold: "folded", or "refused: " and why.
        quantized: "kept", "refused: " and why, or "not quantized" and why where Keras
            quantizes none of the layers.
    """

    kind: str
    adapted: tuple[str, ...]
    skipped: dict[str, str]
    trainable: int
    parameters: int
    fold: str
    quantized: str
