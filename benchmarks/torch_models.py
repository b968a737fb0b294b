"""The networks of lora_step.py in PyTorch, for the rival alone."""

import torch
from torch import nn

__all__ = ["MODELS"]


def _norm_conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = _norm_conv(inputs, outputs, 3, stride)
        self.two = _norm_conv(outputs, outputs, 3, 1)
        same = inputs == outputs and stride == 1
        self.short = nn.Identity() if same else _norm_conv(inputs, outputs, 1, stride)

    def forward(self, x):
        return torch.relu(self.two(torch.relu(self.one(x))) + self.short(x))


class ResNet18(nn.Module):
    """He et al. 2016, with a regressor."""

    head_name = "head"

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        self.stem = _norm_conv(bands, 64, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
        blocks = zip(widths[:-1], widths[1:], strict=True)
        self.blocks = nn.Sequential(*(Block(a, b, 1 + (a != b)) for a, b in blocks))
        self.head = nn.Linear(512, 1)

    def forward(self, x):
        x = self.blocks(self.pool(torch.relu(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))


class Attention(nn.Module):
    """Multi-head self-attention with separate linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, x):
        shape = (*x.shape[:2], self.heads, -1)
        split = (
            m(x).view(shape).transpose(1, 2) for m in (self.query, self.key, self.value)
        )
        y = nn.functional.scaled_dot_product_attention(*split)
        return self.out(y.transpose(1, 2).reshape(x.shape))


class ViT(nn.Module):
    """Dosovitskiy et al. 2021, small."""

    head_name = "head"
    patch, width, depth, heads, mlp = 8, 192, 6, 3, 768

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        width = self.width
        self.patches = nn.Conv2d(bands, width, self.patch, self.patch)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm_1": nn.LayerNorm(width),
                    "attention": Attention(width, self.heads),
                    "norm_2": nn.LayerNorm(width),
                    "up": nn.Linear(width, self.mlp),
                    "down": nn.Linear(self.mlp, width),
                }
            )
            for _ in range(self.depth)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = x + layer["attention"](layer["norm_1"](x))
            y = nn.functional.gelu(layer["up"](layer["norm_2"](x)))
            x = x + layer["down"](y)
        return self.head(self.norm(x).mean(dim=1))


MODELS = {"resnet18": ResNet18, "vit": ViT}
