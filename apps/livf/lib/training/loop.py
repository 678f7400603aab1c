"""The training loop: Dice and cross-entropy, Adam, a moving average of the weights, resumable within a time budget."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from monai.losses import DiceCELoss
from torch import nn
from torch.utils.data import DataLoader, Sampler

from livf.lib.segmentation.network import UNet3D
from livf.lib.training import checkpoints

Case = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class Cases(Protocol):
    """Training cases by number: image ``(1, S, R, A)`` and target ``(C, S, R, A)``."""

    def __getitem__(self, number: int) -> Case:
        """One case."""


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes:
        minutes: Time budget; the learning rate falls to zero over it.
        rate: Largest learning rate (Adam).
        batch: Cases a step.
        warm_up: Steps over which the learning rate rises.
        average: Decay of the moving average of the weights.
        check_every: Steps between validations.
        save_every: Seconds between checkpoints.
    """

    minutes: float
    rate: float = 2e-3
    batch: int = 2
    warm_up: int = 20
    average: float = 0.99
    check_every: int = 100
    save_every: float = 120.0


class _From(Sampler[int]):
    """Case numbers from where a run stopped."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> object:  # type: ignore[override]
        return iter(range(self.first, 10**9))


def fit(
    network: UNet3D,
    cases: Cases,
    validation: Sequence[Case],
    run: Path,
    schedule: Schedule,
    *,
    device: str = "cpu",
    workers: int = 1,
) -> None:
    """Train ``network`` in folder ``run`` until the time budget is used up; resume if the folder has a checkpoint.

    Leaves ``checkpoint.safetensors`` (to go on from), ``best.safetensors`` (the averaged weights with the best
    validation score) and ``log.jsonl`` (a line every ten steps).
    """
    kind = torch.device(device).type
    network.to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stubs
    average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.Adam(network.parameters(), lr=schedule.rate)
    step, spent, best = 0, 0.0, -1.0
    saved = run / "checkpoint.safetensors"
    if saved.exists():
        state = checkpoints.load(saved)
        network.load_state_dict(state.weights)
        average = {name: tensor.to(device) for name, tensor in state.average.items()}
        checkpoints.restore_optimiser(optimiser, state.optimiser)
        step, spent, best = state.step, state.seconds, state.best
    loss_of = DiceCELoss(softmax=True, include_background=True, batch=True, lambda_dice=1.0, lambda_ce=1.0)
    half = kind == "cuda" or _has_bf16()
    loader: DataLoader[Any] = DataLoader(
        cases,  # type: ignore[arg-type]
        batch_size=schedule.batch,
        sampler=_From(step * schedule.batch),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
    )
    start = time.monotonic() - spent
    last_save = last_log = time.monotonic()
    recent: list[float] = []
    budget = schedule.minutes * 60
    network.train()
    for images, targets in loader:
        spent = time.monotonic() - start
        if spent >= budget:
            break
        rate = schedule.rate * min(1.0, (step + 1) / schedule.warm_up) * 0.5 * (1 + math.cos(math.pi * spent / budget))
        for group in optimiser.param_groups:
            group["lr"] = rate
        pictures = images.to(device, memory_format=torch.channels_last_3d)
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
            logits = network(pictures)
        loss = loss_of(logits.float(), targets.to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        step += 1
        _update(average, network, min(schedule.average, (step + 1) / (step + 10)))
        recent.append(float(loss.detach()))
        if step % 10 == 0:
            now = time.monotonic()
            line: dict[str, object] = {
                "step": step,
                "seconds": round(spent),
                "loss": float(np.mean(recent)),
                "rate": rate,
                "step_s": round((now - last_log) / 10, 2),
            }
            recent, last_log = [], now
            _log(run, line)
        if step % schedule.check_every == 0:
            best = _check(network, average, validation, run, step, best, device, half)
        if time.monotonic() - last_save > schedule.save_every:
            last_save = time.monotonic()
            _save(saved, step, time.monotonic() - start, best, network, average, optimiser)
    best = _check(network, average, validation, run, step, best, device, half)
    _save(saved, step, spent, best, network, average, optimiser)


def dice(probable: torch.Tensor, target: torch.Tensor) -> list[float]:
    """Dice of each class but the background, of two one-hot-like arrays ``(C, ...)`` after the largest is taken."""
    classes = probable.shape[0]
    predicted, true = probable.argmax(0), target.argmax(0)
    scores = []
    for value in range(1, classes):
        one, two = predicted == value, true == value
        total = int(one.sum() + two.sum())
        scores.append(2 * int((one & two).sum()) / total if total else 1.0)
    return scores


def grow(network: UNet3D, coarse: Mapping[str, torch.Tensor]) -> int:
    """Start a network from one that has a level less, trained at twice the voxel size.

    Level ``n`` of the coarse network becomes level ``n + 1``; what does not fit (its first convolution took the image,
    its head gave the classes) stays as it was initialised.

    Returns:
        How many tensors were taken over.
    """
    own = network.state_dict()
    taken = 0
    for name, tensor in coarse.items():
        parts = name.split(".")
        if parts[0] in ("encoder", "decoder", "reduce"):
            parts[1] = str(int(parts[1]) + 1)
            deeper = ".".join(parts)
            if deeper in own and own[deeper].shape == tensor.shape:
                own[deeper] = tensor
                taken += 1
    network.load_state_dict(own)
    return taken


def _update(average: dict[str, torch.Tensor], network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                average[name].lerp_(tensor, 1 - decay)
            else:
                average[name].copy_(tensor)


def _check(
    network: UNet3D,
    average: dict[str, torch.Tensor],
    validation: Sequence[Case],
    run: Path,
    step: int,
    best: float,
    device: str,
    half: bool,
) -> float:
    """Score the averaged weights on the validation cases; keep them when they are the best so far."""
    current = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(average)
    network.eval()
    scores = []
    with torch.inference_mode(), torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=half):
        for image, target in validation:
            picture = torch.from_numpy(image)[None].to(device, memory_format=torch.channels_last_3d)
            scores.append(dice(network(picture)[0].float().cpu(), torch.from_numpy(target)))
    network.load_state_dict(current)
    network.train()
    mean = np.mean(scores, axis=0)
    _log(run, {"step": step, "validation": [round(float(v), 4) for v in mean], "worst": float(np.min(scores))})
    if mean.mean() > best:
        best = float(mean.mean())
        checkpoints.save(run / "best.safetensors", checkpoints.Checkpoint(step, 0.0, best, average, {}, {}))
    return best


def _save(
    path: Path,
    step: int,
    spent: float,
    best: float,
    network: nn.Module,
    average: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
) -> None:
    state = checkpoints.Checkpoint(
        step, spent, best, network.state_dict(), average, checkpoints.optimiser_tensors(optimiser)
    )
    checkpoints.save(path, state)


def _log(run: Path, line: dict[str, object]) -> None:
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _has_bf16() -> bool:
    """Whether this CPU computes in bfloat16; without it autocast is slower than float32."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


__all__ = ["Case", "Cases", "Schedule", "dice", "fit", "grow"]
