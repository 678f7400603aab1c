"""Several processes that train one network: who takes part, as torchrun tells it, and what they exchange."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

import torch
import torch.distributed as dist

from livf.lib.errors import LivfError, UsageError

Result = TypeVar("Result")

_VARIABLES: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
#: How long a process waits for the others (preparing the cases is the longest anyone is alone).
_PATIENCE: Final = timedelta(hours=2)


class PeerError(LivfError):
    """The first process stopped; it has told why."""


@dataclass(frozen=True)
class Ranks:
    """Which process this is.

    Attributes:
        rank: Its number; 0 writes.
        world: How many there are.
        local: Its number on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            dist.barrier()

    def add_up(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def first_does(self, work: Callable[[], Result]) -> Result | None:
        """Let the first process do something that can fail; where it does, all stop.

        Returns:
            What it gave; None in the others.

        Raises:
            LivfError: As ``work`` did; in the others a PeerError.
        """
        if self.world == 1:
            return work()
        result, failure = None, None
        if self.first:
            try:
                result = work()
            except LivfError as error:
                failure = error
        if int(self.add_up(torch.tensor(int(failure is not None), device=self._device))):
            raise failure or PeerError("the first process stopped", f"process {self.rank}")
        return result

    @property
    def _device(self) -> torch.device:
        return torch.device("cuda", self.local) if dist.get_backend() == "nccl" else torch.device("cpu")


def from_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Read what torchrun has set; without it this is the only process.

    Raises:
        UsageError: Only a part of it is set, or no numbers.
    """
    given = {name: environment[name] for name in _VARIABLES if name in environment}
    if "RANK" not in given and "WORLD_SIZE" not in given:
        return Ranks()
    if missing := [name for name in _VARIABLES if name not in given]:
        raise UsageError(f"{missing[0]} is not set but others of torchrun's are", "environment", "start it by torchrun")
    try:
        ranks = Ranks(int(given["RANK"]), int(given["WORLD_SIZE"]), int(given["LOCAL_RANK"]))
    except ValueError as error:
        raise UsageError("RANK, WORLD_SIZE and LOCAL_RANK are not all numbers", "environment", "start it by torchrun") \
            from error  # fmt: skip
    if not 0 <= ranks.rank < ranks.world:
        raise UsageError(f"RANK {ranks.rank} of WORLD_SIZE {ranks.world}", "environment", "start it by torchrun")
    return ranks


@contextmanager
def joined(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Take part while the block runs: NCCL between GPUs, Gloo between CPUs."""
    if ranks.world == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()
