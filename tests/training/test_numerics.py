"""Arithmetic: a CPU is measured, what is fixed is kept, and a run goes on as it was begun."""

from __future__ import annotations

import json
from dataclasses import replace

import torch

from livf.lib.segmentation.network import UNet3D
from livf.lib.training.loop import loss_function
from livf.lib.training.numerics import Numerics, choose
from livf.lib.training.presets import preset

CPU = torch.device("cpu")


def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 1, 16, 16, 16), torch.softmax(torch.randn(2, 4, 16, 16, 16), 1)


def test_the_fastest_of_what_was_measured_is_taken() -> None:
    network = UNet3D((4, 8))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = choose(preset("cpu"), network, *tensors(), loss_function(), CPU)
    measured = dict(found.measured)
    assert set(measured) == {f"{p} {x}" for p in ("fp32", "bf16") for x in ("contiguous", "channels_last")}
    assert measured[f"{found.precision} {found.layout}"] == min(measured.values())
    # Measuring leaves the network as it was.
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert Numerics.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_the_configuration_fixes_is_not_measured() -> None:
    config = replace(preset("cpu"), precision="fp32")
    found = choose(config, UNet3D((4, 8)), *tensors(), loss_function(), CPU)
    assert found.precision == "fp32" and len(found.measured) == 2
    assert choose(preset("smoke"), UNet3D((4, 8)), *tensors(), loss_function(), CPU).measured == ()
