"""The training loop: Dice and cross-entropy, Adam, in one process or several, resumable after any kind of end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from monai.inferers import SimpleInferer
from monai.losses import DiceCELoss
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Sampler

from livf.lib.anatomy import TRAINED
from livf.lib.segmentation.network import UNet3D
from livf.lib.training import checkpoints
from livf.lib.training.distributed import Ranks
from livf.lib.training.log import Log
from livf.lib.training.numerics import Numerics
from livf.lib.training.schedule import Schedule
from livf.lib.training.statistics import RunningStatistics

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
#: The micro-batches of a step (from 0), each the keys of its cases: all of them, whatever the process.
Steps = Callable[[int], Sequence[Sequence[Any]]]

#: What a network of the L4-L5 level is scored on.
STRUCTURE_NAMES: Final = tuple(structure.name for structure in TRAINED)
CHECKPOINT: Final = "checkpoint.safetensors"
BEST: Final = "best.safetensors"


class Cases(Protocol):
    """Training cases by key: image ``(1, S, R, A)`` and target ``(C, S, R, A)``."""

    def __getitem__(self, key: Any) -> Pair:
        """One case."""


class Validation(Protocol):
    """Validation cases by number: image ``(1, S, R, A)`` and label ``(S, R, A)``."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """One case."""


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes:
        schedule: Learning rates, and when it is over.
        steps: Which cases a step sees.
        check_every: Steps between validations.
        average: Decay of the moving average of the weights, a step; 0 for none.
        clip: Largest norm of the gradient; 0 for no bound.
        save_every: Seconds between checkpoints, beside those at validations.
        workers: Processes that prepare cases; 0: this one.
    """

    schedule: Schedule
    steps: Steps
    check_every: int = 100
    average: float = 0.99
    clip: float = 5.0
    save_every: float = 60.0
    workers: int = 1


@dataclass(frozen=True)
class Status:
    """Where a training stands.

    Attributes:
        step: Steps done.
        share: Share of the training done, 0 to 1.
        seconds: Time spent.
        loss: Of the last step.
        best: Best validation score so far, -1 for none.
    """

    step: int
    share: float
    seconds: float
    loss: float
    best: float


def loss_function() -> DiceCELoss:
    """Soft Dice over all classes of a micro-batch, plus cross-entropy."""
    return DiceCELoss(softmax=True, include_background=True, batch=True, lambda_dice=1.0, lambda_ce=1.0)


class _MicroBatches(Sampler[list[Any]]):
    """Keys of this process's micro-batches that have cases, from a step on."""

    def __init__(self, plan: Plan, first: int, ranks: Ranks) -> None:
        self._plan, self._first, self._ranks = plan, first, ranks

    def __iter__(self) -> Iterator[list[Any]]:
        step = self._first
        # A schedule by time ends by the loop's own clock.
        while self._plan.schedule.rate(step, 0.0) is not None:
            for part in self._plan.steps(step)[self._ranks.rank :: self._ranks.world]:
                if len(part):
                    yield list(part)
            step += 1


def fit(
    network: UNet3D,
    cases: Cases,
    validation: Validation,
    run: Path,
    plan: Plan,
    *,
    numerics: Numerics,
    device: torch.device,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
    tensorboard: bool = False,
    names: Sequence[str] = STRUCTURE_NAMES,
    tell: Callable[[Status], None] | None = None,
) -> None:
    """Train ``network`` in folder ``run`` until its schedule ends; resume if the folder has a checkpoint.

    Leaves ``checkpoint.safetensors`` (to go on from), ``best.safetensors`` (the averaged weights with the best
    validation score, or the last ones where nothing is validated) and ``log.jsonl``.
    """
    _Fit(network, cases, validation, run, plan, numerics, device, ranks).run(tensorboard, names, tell)


class _Fit:
    """One training under way."""

    def __init__(
        self,
        network: UNet3D,
        cases: Cases,
        validation: Validation,
        run: Path,
        plan: Plan,
        numerics: Numerics,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self.network, self.cases, self.validation, self.folder, self.plan = network, cases, validation, run, plan
        self.numerics, self.device, self.ranks = numerics, device, ranks
        network.to(device)
        network.to(memory_format=numerics.memory_format)  # type: ignore[call-overload]  # missing in torch's stubs
        self.average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        self.scaler = torch.amp.GradScaler(device.type, enabled=numerics.precision == "fp16")
        self.loss = loss_function()
        self.step, self.spent, self.best, self.finished = 0, 0.0, -1.0, False
        self.losses: list[float] = []
        if (run / CHECKPOINT).exists():
            self._restore(checkpoints.load(run / CHECKPOINT))
        self.statistics = RunningStatistics(network)
        self.trained: nn.Module = network
        if ranks.world > 1:
            # The running averages are kept alike by RunningStatistics.
            self.trained = DistributedDataParallel(
                network, device_ids=[device.index] if device.type == "cuda" else None, forward_sync_buffers=False
            )

    def run(self, tensorboard: bool, names: Sequence[str], tell: Callable[[Status], None] | None) -> None:
        """Go on to the end."""
        if self.finished:
            return
        log_of_first = (
            Log(self.folder, self.step, names, tensorboard=tensorboard) if self.ranks.first else nullcontext()
        )
        with log_of_first as log:
            batches = iter(self._loader())
            start = time.monotonic() - self.spent
            last_save = time.monotonic()
            self.network.train()
            while (rate := self.plan.schedule.rate(self.step, self.spent)) is not None:
                loss = self._step(batches, rate)
                self.step += 1
                self.spent = self._same(time.monotonic() - start)
                self.losses.append(loss)
                if log is not None:
                    log.step(self.step, {"loss": loss, "rate": rate, "seconds": round(self.spent, 2)})
                checked = self.step % self.plan.check_every == 0
                if checked:
                    self._check(log)
                if checked or time.monotonic() - last_save > self.plan.save_every:
                    self._save()
                    last_save = time.monotonic()
                if tell is not None:
                    done = self.plan.schedule.share(self.step, self.spent)
                    tell(Status(self.step, done, self.spent, loss, self.best))
            if self.losses:
                self._check(log)
            self.finished = True
            self._save()

    def _loader(self) -> DataLoader[Any]:
        workers = self.plan.workers
        return DataLoader(
            self.cases,  # type: ignore[arg-type]  # any object that can be indexed
            batch_sampler=_MicroBatches(self.plan, self.step, self.ranks),
            num_workers=workers,
            prefetch_factor=2 if workers else None,
            pin_memory=self.device.type == "cuda",
        )

    def _step(self, batches: Iterator[Any], rate: float) -> float:
        """One step of the optimiser; its loss, the mean over the step's cases."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        parts = self.plan.steps(self.step)
        total = sum(len(part) for part in parts)
        mine = parts[self.ranks.rank :: self.ranks.world]
        many = len(parts) > 1
        if many:
            self.statistics.start()
        loss = torch.zeros((), device=self.device)
        self.optimiser.zero_grad(set_to_none=True)
        for place, part in enumerate(mine):
            share = len(part) / total
            waits = isinstance(self.trained, DistributedDataParallel) and place < len(mine) - 1
            with self.trained.no_sync() if waits else nullcontext():  # type: ignore[operator]
                if len(part):
                    images, targets = next(batches)
                    pictures = images.to(self.device, memory_format=self.numerics.memory_format, non_blocking=True)
                    with self.numerics.autocast(self.device):
                        logits = self.trained(pictures)
                    value = self.loss(logits.float(), targets.to(self.device, non_blocking=True)) * share
                    loss += value.detach()
                    # DDP takes the mean over the processes; the shares make it a sum.
                    self.scaler.scale(value * self.ranks.world).backward()
                    if many:
                        self.statistics.after(share)
                else:
                    self._take_part()
        if many:
            self.statistics.finish(self.ranks)
        if self.plan.clip:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.plan.average:
            _update(self.average, self.network, min(self.plan.average, (self.step + 2) / (self.step + 11)))
        return float(self.ranks.add_up(loss))

    def _take_part(self) -> None:
        """A pass without a case, for a process that has none in an epoch's last step: the others wait for it."""
        self.network.eval()  # leaves the running averages alone
        size = self.network.multiple
        nothing = torch.zeros((1, 1, size, size, size), device=self.device)
        (self.trained(nothing).sum() * 0).backward()
        self.network.train()

    def _check(self, log: Log | None) -> None:
        """Score the weights on the validation cases; keep them when they are the best so far."""
        weights = self._weights()
        line: dict[str, object] = {"training": float(np.mean(self.losses))}
        self.losses = []
        if len(self.validation):
            scores = self._scores(weights)
            mean = scores.mean(axis=0)
            line |= {"validation": [round(float(v), 4) for v in mean], "worst": round(float(scores.min()), 4)}
            better = float(mean.mean()) > self.best
            self.best = max(self.best, float(mean.mean()))
        else:
            better = True
        if log is not None:
            log.validation(self.step, line)
        if better and self.ranks.first:
            checkpoints.save(self.folder / BEST, checkpoints.Checkpoint(self.step, 0.0, self.best, weights, {}, {}))

    def _scores(self, weights: Mapping[str, torch.Tensor]) -> npt.NDArray[np.float64]:
        """Dice of each validation case and structure, ``(N, C - 1)``; each process scores its share of the cases."""
        current = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(weights)
        self.network.eval()
        infer = SimpleInferer()
        classes = self.network.out_channels
        scores = torch.zeros((len(self.validation), classes - 1), dtype=torch.float64, device=self.device)
        with torch.inference_mode(), self.numerics.autocast(self.device):
            for number in range(self.ranks.rank, len(self.validation), self.ranks.world):
                image, label = self.validation[number]
                picture = torch.from_numpy(image)[None].to(self.device, memory_format=self.numerics.memory_format)
                found = infer(picture, self.network)[0].float().argmax(0)
                scores[number] = torch.tensor(dice(found, torch.from_numpy(label).to(self.device), classes))
        self.network.load_state_dict(current)
        self.network.train()
        return np.asarray(self.ranks.add_up(scores).cpu().numpy())

    def _weights(self) -> dict[str, torch.Tensor]:
        source = self.average if self.plan.average else self.network.state_dict()
        return {name: tensor.detach().clone() for name, tensor in source.items()}

    def _same(self, seconds: float) -> float:
        """The first process's clock, so that all end at the same step."""
        if self.ranks.world == 1:
            return seconds
        clock = torch.tensor(seconds if self.ranks.first else 0.0, dtype=torch.float64, device=self.device)
        return float(self.ranks.add_up(clock))

    def _restore(self, state: checkpoints.Checkpoint) -> None:
        self.network.load_state_dict(state.weights)
        self.average = {name: tensor.to(self.device) for name, tensor in state.average.items()}
        checkpoints.restore_optimiser(self.optimiser, state.optimiser)
        self.step, self.spent, self.best, self.finished = state.step, state.seconds, state.best, state.finished
        self.losses = list(state.losses)
        if state.scale:
            self.scaler.load_state_dict(
                self.scaler.state_dict() | {"scale": state.scale[0], "_growth_tracker": int(state.scale[1])}
            )

    def _save(self) -> None:
        if not self.ranks.first:
            return
        scale = self.scaler.state_dict()
        checkpoints.save(
            self.folder / CHECKPOINT,
            checkpoints.Checkpoint(
                step=self.step,
                seconds=self.spent,
                best=self.best,
                weights=self.network.state_dict(),
                average=self.average if self.plan.average else {},
                optimiser=checkpoints.optimiser_tensors(self.optimiser),
                losses=tuple(self.losses),
                scale=(scale["scale"], scale["_growth_tracker"]) if scale else (),
                finished=self.finished,
            ),
        )


def dice(found: torch.Tensor, true: torch.Tensor, classes: int) -> list[float]:
    """Dice of each class but the background, of two arrays of class numbers of one shape; 1 where both have none."""
    scores = []
    for value in range(1, classes):
        one, two = found == value, true == value
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


__all__ = ["BEST", "CHECKPOINT", "Cases", "Pair", "Plan", "Status", "Steps", "Validation", "dice", "fit", "grow",
           "loss_function"]  # fmt: skip
