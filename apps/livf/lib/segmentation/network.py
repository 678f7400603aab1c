"""The 3D U-Net (Çiçek et al., MICCAI 2016), as Chen et al. 2022 use it.

Encoder and decoder with skip connections, two 3x3x3 convolutions a level, trilinear upsampling, and a last 1x1x1
convolution. Widths are a parameter: the paper gives them only in a figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class UNet3D(nn.Module):
    """A 3D U-Net for any input size.

    Args:
        widths: Feature channels of each level, from full resolution down.
        in_channels: Channels of the input image.
        out_channels: Channels of the output (background and each structure).
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128), in_channels: int = 1, out_channels: int = 4) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"a U-Net needs at least two levels, not widths={tuple(widths)}")
        self.widths = tuple(widths)
        before = (in_channels, *self.widths[:-1])
        self.encoder = nn.ModuleList(_two_convolutions(before[level], width) for level, width in enumerate(self.widths))
        # The 1x1x1 convolution that halves the channels stands before the upsampling: both are linear, so the result
        # is the same as after it, at an eighth of the work.
        self.reduce = nn.ModuleList(
            nn.Conv3d(self.widths[level + 1], self.widths[level], 1) for level in range(len(self.widths) - 1)
        )
        self.decoder = nn.ModuleList(_two_convolutions(2 * width, width) for width in self.widths[:-1])
        self.head = nn.Conv3d(self.widths[0], out_channels, 1)

    @property
    def multiple(self) -> int:
        """Each axis of the input is padded inside to a multiple of this."""
        return int(2 ** (len(self.widths) - 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image ``(B, C, D, H, W)`` of any size to logits ``(B, out_channels, D, H, W)``."""
        size = image.shape[2:]
        padding: list[int] = []
        for length in reversed(size):
            missing = -length % self.multiple
            padding += [missing // 2, missing - missing // 2]
        features = F.pad(image, padding)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            if level:
                features = F.max_pool3d(features, 2)
            features = block(features)
            skips.append(features)
        for level in reversed(range(len(self.widths) - 1)):
            features = F.interpolate(
                self.reduce[level](features), scale_factor=2, mode="trilinear", align_corners=False
            )
            features = self.decoder[level](torch.cat((skips[level], features), dim=1))
        logits: torch.Tensor = self.head(features)
        starts = padding[4], padding[2], padding[0]
        return logits[
            :,
            :,
            starts[0] : starts[0] + size[0],
            starts[1] : starts[1] + size[1],
            starts[2] : starts[2] + size[2],
        ]


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    """Two 3x3x3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv3d(channels, after, 3, padding=1, bias=False), nn.BatchNorm3d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
