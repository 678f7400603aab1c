"""Arithmetic and memory layout: what a device is fastest at, measured over a few steps where it is not known."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from livf.lib.segmentation.network import UNet3D
from livf.lib.training.presets import TrainingConfig

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_TYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LAYOUTS: Final = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}
#: Steps that are timed, after one that is not.
_TIMED: Final = 2


@dataclass(frozen=True)
class Numerics:
    """How a training computes; kept with the run, so that it goes on alike.

    Attributes:
        precision: fp32, or what autocast uses: bf16, fp16.
        layout: Order of the tensors in memory: contiguous, channels_last.
        threads: Threads of the CPU.
        measured: Seconds a step of each way that was tried.
    """

    precision: str
    layout: str
    threads: int
    measured: tuple[tuple[str, float], ...] = ()

    @property
    def dtype(self) -> torch.dtype:
        """Of autocast."""
        return _TYPES[self.precision]

    @property
    def memory_format(self) -> torch.memory_format:
        """Of torch."""
        return _LAYOUTS[self.layout]

    def autocast(self, device: torch.device) -> torch.autocast:
        """Context of the network's pass."""
        return torch.autocast(device.type, dtype=self.dtype, enabled=self.precision != "fp32")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"measured": dict(self.measured)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Numerics:
        """Read what :meth:`to_json` gave."""
        return cls(**(document | {"measured": tuple(document["measured"].items())}))


def choose(
    config: TrainingConfig,
    network: UNet3D,
    images: torch.Tensor,
    targets: torch.Tensor,
    loss: Loss,
    device: torch.device,
) -> Numerics:
    """The fastest way of a device; what the configuration fixes is not tried otherwise.

    A GPU takes bf16, or fp16 where it has no bf16, with channels last: tensor cores want that. On a CPU each way runs
    some steps on the images given: bf16 is twice as fast where there is hardware for it, three times as slow where not.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu":
        best = "fp32"
        if device.type == "cuda":
            best = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        layout = "contiguous" if device.type == "mps" else "channels_last"
        return Numerics(_or(config.precision, best), _or(config.layout, layout), threads)
    precisions = ["fp32", "bf16"] if config.precision == "measured" else [config.precision]
    layouts = list(_LAYOUTS) if config.layout == "measured" else [config.layout]
    ways = [Numerics(precision, layout, threads) for precision in precisions for layout in layouts]
    if len(ways) == 1:
        return ways[0]
    measured = [(way, _time(way, copy.deepcopy(network), images, targets, loss, device)) for way in ways]
    best_way = min(measured, key=lambda pair: pair[1])[0]
    seconds = tuple((f"{way.precision} {way.layout}", round(took, 3)) for way, took in measured)
    return Numerics(best_way.precision, best_way.layout, threads, seconds)


def _or(chosen: str, measured: str) -> str:
    return measured if chosen == "measured" else chosen


def _time(
    way: Numerics, network: UNet3D, images: torch.Tensor, targets: torch.Tensor, loss: Loss, device: torch.device
) -> float:
    """Seconds of the quickest step."""
    network.to(memory_format=way.memory_format)  # type: ignore[call-overload]  # missing in torch's stubs
    network.train()
    pictures = images.contiguous(memory_format=way.memory_format)
    took = []
    for _ in range(1 + _TIMED):
        start = time.perf_counter()
        with way.autocast(device):
            logits = network(pictures)
        value = loss(logits.float(), targets)
        value.backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)
        took.append(time.perf_counter() - start)
    return min(took[1:])
