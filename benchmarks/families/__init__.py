"""Small models of many families, on which the adapter contract is run.

`benchmarks/adapter_families.py` makes the table of docs/lora.md of them, and
`tests/guarantees/test_families.py` runs them.
"""

from families.applications import APPLICATIONS
from families.case import Case, check
from families.several import SEVERAL
from families.text import TEXT
from families.vision import VISION

__all__ = ["CASES", "LEFT_OUT", "Case", "check"]

CASES = {
    case.name: case
    for case in [
        *APPLICATIONS,
        *sorted([*TEXT, *VISION, *SEVERAL], key=lambda case: case.name),
    ]
}
# What keras_hub.models exports besides, and why it has no case.
LEFT_OUT = {
    "Backbone": "abstract",
    "ESM2Backbone": "another name of ESMBackbone",
    "FeaturePyramidBackbone": "abstract",
    "Qwen2Backbone": "another name of QwenBackbone",
    "SmolLMBackbone": "another name of SmolLM3Backbone",
}
