"""The training loop on a task a tiny network can learn in seconds: it learns, resumes, shares work, and grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from livf.lib.segmentation.network import UNet3D
from livf.lib.training import checkpoints
from livf.lib.training.loop import BEST, CHECKPOINT, Plan, Status, dice, fit, grow
from livf.lib.training.numerics import Numerics
from livf.lib.training.presets import Optimisation
from livf.lib.training.schedule import EpochSchedule, Schedule, TimeSchedule

NUMERICS = Numerics("fp32", "contiguous", 1)
CPU = torch.device("cpu")


class Blocks:
    """Cases whose class is their brightness; the same blocks to validate on."""

    def __init__(self, number: int = 10**6) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def label(self, number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        label = np.zeros((8, 8, 8), dtype=np.uint8)
        for value in (1, 2, 3):
            low = rng.integers(0, 5, 3)
            label[tuple(slice(a, a + 3) for a in low)] = value
        return label

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        label = self.label(number)
        image = label + np.random.default_rng((number, 1)).normal(0, 0.1, label.shape)
        target = (label[None] == np.arange(4)[:, None, None, None]).astype(np.float32)
        return image[None].astype(np.float32), target


class Checks(Blocks):
    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return super().__getitem__(number + 10**6)[0], self.label(number + 10**6)


def one_batch(step: int) -> Sequence[Sequence[int]]:
    return [range(2 * step, 2 * step + 2)]


def trained(folder: Path, schedule: Schedule, steps=one_batch, **options: float) -> tuple[UNet3D, list[Status]]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    network = UNet3D((8, 16))
    plan = Plan(schedule, steps, **{"check_every": 10, "average": 0.9, "workers": 0} | options)
    told: list[Status] = []
    fit(network, Blocks(), Checks(3), folder, plan, numerics=NUMERICS, device=CPU, tell=told.append)
    return network, told


def steps_of(number: int) -> EpochSchedule:
    return EpochSchedule(Optimisation(rate=1e-2, curve="cosine", drops=(), epochs=1), steps=number)


def lines(folder: Path) -> list[dict]:
    """The log without its times."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in found]


def test_it_learns_within_a_time_budget_and_goes_on(tmp_path: Path) -> None:
    schedule = TimeSchedule(minutes=0.05, largest=1e-2, warm_up=5)
    trained(tmp_path, schedule, check_every=40)
    first = checkpoints.load(tmp_path / CHECKPOINT)
    assert first.finished and first.step > 0
    losses = [line["loss"] for line in lines(tmp_path) if "loss" in line]
    assert losses[-1] < losses[0]
    trained(tmp_path, schedule)
    assert checkpoints.load(tmp_path / CHECKPOINT).step == first.step  # it is over


class Stop(Exception):
    pass


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_run_that_stopped_anywhere_ends_as_one_that_did_not(tmp_path: Path, average: float) -> None:
    trained(tmp_path / "whole", steps_of(30), average=average)
    for stop in (3, 10, 17, 17, 29):  # twice at the same step: the second goes on from the same checkpoint

        def steps(step: int, stop: int = stop) -> Sequence[Sequence[int]]:
            if step == stop:
                raise Stop
            return one_batch(step)

        with pytest.raises(Stop):
            trained(tmp_path / "cut", steps_of(30), steps, average=average, save_every=1e9 if stop == 10 else 0.0)
        with (tmp_path / "cut" / "log.jsonl").open("a") as file:
            file.write('{"step": 99, "lo')  # a line that a kill has cut
    network, told = trained(tmp_path / "cut", steps_of(30), average=average)
    assert told[-1].step == 30 and told[-1].share == 1.0
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    for name in (CHECKPOINT, BEST):
        one, two = (checkpoints.load(tmp_path / which / name) for which in ("whole", "cut"))
        assert one.step == two.step and one.best == two.best
        for group in ("weights", "average", "optimiser"):
            assert getattr(one, group).keys() == getattr(two, group).keys()
            assert all(torch.equal(tensor, getattr(two, group)[key]) for key, tensor in getattr(one, group).items())
    assert all(
        torch.equal(tensor, checkpoints.load(tmp_path / "whole" / CHECKPOINT).weights[key])
        for key, tensor in network.state_dict().items()
    )


def test_two_micro_batches_are_one_gradient_over_their_cases(tmp_path: Path) -> None:
    """Three cases as 2 + 1: the step is that of the mean over the cases, the running averages those of the cases."""
    torch.manual_seed(0)
    network = UNet3D((4, 8))
    expected = UNet3D((4, 8))
    expected.load_state_dict(network.state_dict())
    plan = Plan(steps_of(1), lambda step: [(0, 1), (2,)], average=0, clip=0, workers=0)
    fit(network, Blocks(), Checks(0), tmp_path, plan, numerics=NUMERICS, device=CPU)

    from livf.lib.training.loop import loss_function

    before = {name: tensor.clone() for name, tensor in expected.state_dict().items() if "running" in name}
    total = {name: torch.zeros_like(tensor) for name, tensor in before.items()}
    for numbers, share in (((0, 1), 2 / 3), ((2,), 1 / 3)):
        pairs = [Blocks()[number] for number in numbers]
        images, targets = (torch.from_numpy(np.stack([pair[part] for pair in pairs])) for part in (0, 1))
        expected.load_state_dict(before, strict=False)
        (loss_function()(expected(images), targets) * share).backward()
        for name, tensor in expected.state_dict().items():
            if name in total:
                total[name] += share * tensor
    torch.optim.Adam(expected.parameters(), lr=steps_of(1).rate(0, 0.0)).step()
    own = network.state_dict()
    for name, tensor in expected.named_parameters():
        torch.testing.assert_close(own[name], tensor.detach())
    for name, tensor in total.items():
        torch.testing.assert_close(own[name], tensor)
    assert all(int(own[name]) == 1 for name in own if name.endswith("num_batches_tracked"))


def test_without_validation_the_last_weights_are_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UNet3D((4, 8))
    plan = Plan(steps_of(4), one_batch, check_every=2, average=0, workers=0)
    fit(network, Blocks(), Checks(0), tmp_path, plan, numerics=NUMERICS, device=CPU)
    best = checkpoints.load(tmp_path / BEST)
    assert best.step == 4
    assert all(torch.equal(best.weights[name], tensor) for name, tensor in network.state_dict().items())


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    network = UNet3D((4, 8))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(torch.randn(1, 1, 8, 8, 8)).square().mean().backward()
    optimiser.step()
    state = network.state_dict()
    tensors = checkpoints.optimiser_tensors(optimiser)
    saved = checkpoints.Checkpoint(7, 1.5, 0.25, state, state, tensors, (0.1, 1 / 3), (65536.0, 12.0), True)
    checkpoints.save(tmp_path / "c.safetensors", saved)
    loaded = checkpoints.load(tmp_path / "c.safetensors")
    for name in ("step", "seconds", "best", "losses", "scale", "finished"):
        assert getattr(loaded, name) == getattr(saved, name)
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
    bar = torch.zeros(8, 1, 1)
    bar[2:4] = 1
    assert dice(torch.roll(bar, shift, dims=0), bar, 2) == [pytest.approx(expected)]
    assert dice(bar, bar, 3) == [1.0, 1.0]  # the last class is in neither
