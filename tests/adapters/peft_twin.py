"""A small PyTorch model with PEFT, run by `test_peft.py` in a process of its own.

TensorFlow and PyTorch crash in one process.

    python peft_twin.py make FOLDER   writes base.npz, and a random adapter of PEFT
                                      in FOLDER/plain and FOLDER/stabilised
    python peft_twin.py load FOLDER   writes FOLDER/output.npy, the output with the
                                      adapter in FOLDER
"""

import pathlib
import sys

import numpy as np
import peft
import torch


class Twin(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(5, 6, (3, 2), padding="same")
        block = torch.nn.Conv2d(6, 8, 3, stride=2)
        self.body = torch.nn.ModuleList([block, torch.nn.Conv1d(8, 9, 2)])
        self.add_module("0", torch.nn.Linear(9, 7))

    def forward(self, x):
        x = self.body[0](torch.tanh(self.stem(x)))
        x = torch.tanh(self.body[1](torch.tanh(x).flatten(2)))
        return getattr(self, "0")(x.mean(2))


def twin():
    torch.manual_seed(0)
    return Twin().eval()


def call(model):
    images = np.random.default_rng(0).normal(size=(3, 9, 8, 5)).astype("float32")
    with torch.no_grad():
        return model(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()


def make(folder):
    base = {name: value.numpy() for name, value in twin().state_dict().items()}
    np.savez(folder / "base.npz", output=call(twin()), **base)
    for name in ("plain", "stabilised"):
        config = peft.LoraConfig(
            r=3,
            lora_alpha=7,
            target_modules=["stem", "0", "1"],
            rank_pattern={"body.0": 2, "stem": 5},
            alpha_pattern={"^0": 3},
            use_rslora=name == "stabilised",
        )
        model = peft.get_peft_model(twin(), config).eval()
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(folder / name)
        np.save(folder / name / "output.npy", call(model))


def load(folder):
    model = peft.PeftModel.from_pretrained(twin(), folder).eval()
    np.save(folder / "output.npy", call(model))


{"make": make, "load": load}[sys.argv[1]](pathlib.Path(sys.argv[2]))
