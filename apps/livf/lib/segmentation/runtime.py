"""Running the network: device, precision, memory. The same path whatever the device."""

from __future__ import annotations

import ctypes
import logging
import platform
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from livf.lib.errors import ModelError, UsageError
from livf.lib.segmentation.config import Shape
from livf.lib.segmentation.network import UNet3D

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

_DEVICES: Final = "cpu, cuda, cuda:N or mps"
#: Parameters of glibc's mallopt.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4


def choose_device(name: str | None) -> torch.device:
    """The device of a name; None: a CUDA GPU if there is one, else the CPU.

    Raises:
        UsageError: It is no device, or this machine or this torch has none like it.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"{name!r} is not a device", "--device", f"give {_DEVICES}") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type not in there:
        raise UsageError(f"{name!r} is not a device livf runs on", "--device", f"give {_DEVICES}")
    if (device.index or 0) >= there[device.type]:
        raise UsageError(
            f"there is no {name} here ({there[device.type]} seen by this torch)",
            "--device",
            "leave it out for the best device there is",
        )
    return device


def keep_memory() -> bool:
    """Make glibc keep large freed blocks instead of handing them back to the system.

    A U-Net allocates and frees some gigabytes a pass; without this every pass pays for clearing those pages anew
    (measured: 1.7 to 2 times the time).

    Returns:
        Whether it was done (only with glibc).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        libc = ctypes.CDLL(None)
        return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
    except (OSError, AttributeError):
        return False


class Runtime:
    """A network ready to run.

    Args:
        network: Its batch normalisation is folded into the convolutions here; the network given is used up.
        device: Where it runs.
    """

    def __init__(self, network: UNet3D, device: torch.device) -> None:
        self.device = device
        self._half = device.type == "cuda"
        # Channels last took half the time of contiguous on a CPU with AVX-512, and is what tensor cores want.
        self._layout = torch.preserve_format if device.type == "mps" else torch.channels_last_3d
        if device.type == "cpu":
            keep_memory()
        fold(network.eval())
        network.requires_grad_(False)
        try:
            self._network = network.to(device)
            self._network.to(memory_format=self._layout)  # type: ignore[call-overload]  # only convolutions' weights
        except RuntimeError as error:
            raise ModelError(f"the network cannot be put on {device}", "", "use --device cpu") from error

    def __call__(self, array: Floats) -> Floats:
        """Class probabilities ``(C, S, R, A)``, float32, of an input ``(S, R, A)``.

        Raises:
            ModelError: The device has too little memory.
        """
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
                image = torch.from_numpy(array)[None, None].to(self.device, memory_format=self._layout)
                logits = self._network(image)[0].float()
                probabilities: Floats = torch.softmax(logits, dim=0).cpu().numpy()
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            shape = "x".join(str(size) for size in array.shape)
            raise ModelError(
                f"{self.device} has too little memory for {shape} voxels",
                "",
                "free some memory" if self.device.type == "cpu" else "free some memory or use --device cpu",
            ) from error
        return probabilities

    def warm(self, shape: Shape) -> None:
        """Run once, so that the first image is as fast as any: kernels are chosen, memory is there."""
        self(np.zeros(shape, dtype=np.float32))


def fold(network: UNet3D) -> None:
    """Fold each batch normalisation into the convolution before it, in place; in evaluation mode they are one map."""
    for block in (*network.encoder, *network.decoder):
        if not isinstance(block, nn.Sequential):
            raise TypeError("the network's blocks are sequences of layers")
        for place in range(len(block) - 1):
            convolution, norm = block[place], block[place + 1]
            if isinstance(convolution, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                block[place] = torch.nn.utils.fuse_conv_bn_eval(convolution, norm)
                block[place + 1] = nn.Identity()


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
