"""The training loop on a task a tiny network can learn in seconds: it learns, resumes, and grows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from livf.lib.segmentation.network import UNet3D
from livf.lib.training import checkpoints
from livf.lib.training.loop import Schedule, dice, fit, grow


class Blocks:
    """Cases whose class is their brightness."""

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(number)
        label = np.zeros((8, 8, 8), dtype=np.int64)
        for value in (1, 2, 3):
            low = rng.integers(0, 5, 3)
            label[tuple(slice(a, a + 3) for a in low)] = value
        image = label + rng.normal(0, 0.1, label.shape)
        target = (label[None] == np.arange(4)[:, None, None, None]).astype(np.float32)
        return image[None].astype(np.float32), target


def trained(folder: Path, minutes: float) -> UNet3D:
    torch.manual_seed(0)
    network = UNet3D((8, 16))
    schedule = Schedule(minutes, rate=1e-2, warm_up=5, check_every=40, save_every=1.0)
    fit(network, Blocks(), [Blocks()[10**6 + i] for i in range(3)], folder, schedule, workers=0)
    return network


def test_it_learns_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    trained(tmp_path, minutes=0.1)
    first = checkpoints.load(tmp_path / "checkpoint.safetensors")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    assert first.step > 0
    trained(tmp_path, minutes=0.2)
    second = checkpoints.load(tmp_path / "checkpoint.safetensors")
    assert second.step > first.step
    assert second.best >= first.best
    assert second.best > 0.5
    assert checkpoints.load(tmp_path / "best.safetensors").weights.keys() == second.average.keys()


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    network = UNet3D((4, 8))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(torch.randn(1, 1, 8, 8, 8)).square().mean().backward()
    optimiser.step()
    state = network.state_dict()
    saved = checkpoints.Checkpoint(7, 1.5, 0.25, state, state, checkpoints.optimiser_tensors(optimiser))
    checkpoints.save(tmp_path / "c.safetensors", saved)
    loaded = checkpoints.load(tmp_path / "c.safetensors")
    assert (loaded.step, loaded.seconds, loaded.best) == (7, 1.5, 0.25)
    for group in ("weights", "average", "optimiser"):
        one, two = getattr(saved, group), getattr(loaded, group)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    other = torch.optim.Adam(network.parameters(), lr=1e-3)
    checkpoints.restore_optimiser(other, loaded.optimiser)
    restored, original = checkpoints.optimiser_tensors(other), checkpoints.optimiser_tensors(optimiser)
    assert restored.keys() == original.keys()
    assert all(torch.equal(restored[name], original[name]) for name in original)


def test_a_network_grown_from_a_coarse_one_carries_its_deep_levels() -> None:
    coarse, fine = UNet3D((8, 16, 32)), UNet3D((4, 8, 16, 32))
    taken = grow(fine, coarse.state_dict())
    assert taken > 0.8 * len(coarse.state_dict())
    assert torch.equal(fine.encoder[2][0].weight, coarse.encoder[1][0].weight)
    assert torch.equal(fine.decoder[1][3].weight, coarse.decoder[0][3].weight)
    assert fine.encoder[0][0].weight.shape != coarse.encoder[0][0].weight.shape


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 0.5), (2, 0.0)])
def test_dice_of_shifted_bars(shift: int, expected: float) -> None:
    bar = torch.zeros(2, 8, 1, 1)
    bar[1, 2:4] = 1
    bar[0] = 1 - bar[1]
    moved = torch.roll(bar, shift, dims=1)
    assert dice(moved, bar) == [pytest.approx(expected)]
