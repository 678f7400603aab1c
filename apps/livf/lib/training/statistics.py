"""Batch normalisation over several micro-batches and processes.

Each micro-batch is normalised by its own statistics, as on one GPU (SyncBatchNorm would normalise by those of all,
another training). Their running averages move once a step, by the mean over the step's cases: the same whichever
process a micro-batch went to.
"""

from __future__ import annotations

import torch
from torch import nn

from livf.lib.training.distributed import Ranks


class RunningStatistics:
    """The running averages of a network while one step passes.

    Args:
        network: In training mode.
    """

    def __init__(self, network: nn.Module) -> None:
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
        buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
        self._buffers = [buffer for buffer in buffers if buffer is not None]
        self._counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
        self._before: list[torch.Tensor] = []
        self._moved: list[torch.Tensor] = []

    def start(self) -> None:
        """Before the step's first micro-batch."""
        self._before = [buffer.clone() for buffer in self._buffers]
        self._moved = [torch.zeros_like(buffer) for buffer in self._buffers]
        self._numbers = [int(count) for count in self._counts]

    def after(self, share: float) -> None:
        """After a micro-batch that has this share of the step's cases."""
        with torch.no_grad():
            for buffer, before, moved in zip(self._buffers, self._before, self._moved, strict=True):
                moved.add_(buffer - before, alpha=share)
                buffer.copy_(before)

    def finish(self, ranks: Ranks) -> None:
        """After the step's last micro-batch."""
        if not self._buffers:
            return
        with torch.no_grad():
            moved = ranks.add_up(torch.cat([part.flatten() for part in self._moved]))
            parts = torch.split(moved, [part.numel() for part in self._moved])
            for buffer, before, part in zip(self._buffers, self._before, parts, strict=True):
                buffer.copy_(before + part.view_as(before))
            for count, number in zip(self._counts, self._numbers, strict=True):
                count.fill_(number + 1)
