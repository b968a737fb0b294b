"""Writes `peft_forms.npz`; needs PyTorch and PEFT, and runs in a process of its own.

python tests/adapters/write_peft_forms.py
"""

import numpy as np
import peft
import peft_forms
import torch
from peft_forms import Conv, Linear
from torch import nn
from transformers.pytorch_utils import Conv1D

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def same_pads(form):
    """Returns what "same" of Keras pads, last axis first."""
    pads = []
    for size, wide in zip(form.shape[-2::-1], form.window[::-1], strict=True):
        steps = -(-size // form.strides)
        total = max((steps - 1) * form.strides + wide - size, 0)
        pads += [total // 2, total - total // 2]
    return pads


class Convolution(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.pads, padding = [], form.padding
        if padding == "causal":
            wide = (form.window[0] - 1) * int(np.max(form.dilation))
            self.pads, padding = [wide, 0], 0
        elif padding == "own":
            self.pads, padding = same_pads(form), 0
        self.layer = CONVS[len(form.window) - 1](
            *(form.shape[-1], form.filters, form.window, form.strides),
            padding=0 if padding == "valid" else padding,
            dilation=form.dilation,
            groups=form.groups,
        )

    def forward(self, x):
        y = self.layer(nn.functional.pad(torch.movedim(x, -1, 1), self.pads))
        return torch.movedim(y, 1, -1)


class Matrix(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.kind, inputs = form.kind, peft_forms.inputs_of(form)
        transposed = form.stored_transposed
        sizes = (form.outputs, inputs) if transposed else (inputs, form.outputs)
        self.layer = (Conv1D if transposed else nn.Linear)(*sizes)

    def forward(self, x):
        if self.kind == "flatten":
            return self.layer(torch.movedim(x, -1, 1).flatten(1))
        return self.layer(x.flatten(2) if self.kind == "output" else x)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        for name in peft_forms.PROJECTIONS:
            self.add_module(name, nn.Linear(6, 6))

    def forward(self, x):
        parts = [getattr(self, name)(x) for name in peft_forms.PROJECTIONS[:3]]
        heads = [part.unflatten(-1, (2, 3)).transpose(1, 2) for part in parts]
        mixed = nn.functional.scaled_dot_product_attention(*heads)
        return self.attention_output(mixed.transpose(1, 2).flatten(2))


def adapted(name, module, targets, form):
    """Returns the module with drawn weights and an adapter of PEFT, and its factors."""
    for key, value in module.named_parameters():
        value.data = torch.tensor(peft_forms.drawn(f"{name}.{key}", value.shape))
    config = peft.LoraConfig(
        r=getattr(form, "rank", 2),
        lora_alpha=peft_forms.ALPHA,
        target_modules=targets,
        use_rslora=getattr(form, "rslora", False),
    )
    model = peft.get_peft_model(module, config).eval()
    factors = {}
    for key, value in model.named_parameters():
        _, _, layer, kind, *_ = key.split(".")
        if kind in ("lora_A", "lora_B"):
            label = f"{name}.{layer}.{kind[-1]}"
            factors[label] = peft_forms.drawn(label, value.shape)
            if kind == "lora_A" and getattr(form, "blocks", False):
                factors[label] = peft_forms.block(name, form)
            value.data = torch.tensor(factors[label])
    return model, factors


def output(name, model, shape):
    try:
        with torch.no_grad():
            x = torch.tensor(peft_forms.drawn(f"{name}.x", (2, *shape)))
            return model(x).numpy()
    except RuntimeError as error:
        print(name, error)
        return np.zeros(0, "float32")


def main():
    stored = {}
    for name, form in peft_forms.FORMS.items():
        module = {Conv: Convolution, Linear: Matrix}[type(form)](form)
        model, factors = adapted(name, module, ["layer"], form)
        stored |= factors | {name: output(name, model, form.shape)}
    targets = list(peft_forms.PROJECTIONS)
    model, factors = adapted("attention", Attention(), targets, None)
    stored |= factors
    stored["attention"] = output("attention", model, peft_forms.ATTENTION)
    np.savez_compressed(peft_forms.FILE, **stored)


if __name__ == "__main__":
    main()
