"""What tissues and scanner make of a T2-weighted signal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """Proton density (relative), T1 and T2 in ms at 3 T."""

    density: float
    t1: float
    t2: float


#: T1 and T2 at 3 T. Muscle, fat and marrow: Gold et al., AJR 2004;183:343-351; nerve: Stanisz et al., Magn Reson Med
#: 2005;54:507-512 (white matter); cerebrospinal fluid: Rooney et al., Magn Reson Med 2007;57:308-318 (T1), with the T2
#: of water-like fluid. In an echo train fat keeps a longer apparent T2 than in a spin echo (J-coupling): 130 ms. Disc:
#: nucleus from 120 (young) to 45 ms (worn), after the ranges of T2 mapping studies. Others are our choice by eye.
TISSUES: Final[dict[str, Tissue]] = {
    "skin": Tissue(0.7, 900, 35),
    "fat": Tissue(0.9, 380, 130),
    "muscle": Tissue(0.85, 1420, 42),
    "marrow": Tissue(0.68, 590, 78),
    "cortex": Tissue(0.12, 800, 12),
    "csf": Tissue(1.0, 4000, 1500),
    "nerve": Tissue(0.8, 1080, 72),
    "annulus": Tissue(0.65, 1100, 38),
    "nucleus": Tissue(0.95, 1300, 120),
    "worn nucleus": Tissue(0.75, 1100, 45),
    "ligament": Tissue(0.5, 900, 24),
    "joint": Tissue(0.85, 1600, 95),
    "vessel": Tissue(0.2, 1600, 60),
    "bowel": Tissue(0.8, 1500, 90),
}


@dataclass(frozen=True)
class Sequence:
    """What the scanner adds. The defaults are the middle of what :meth:`sample` draws.

    Attributes:
        repetition_ms: TR; the driven-equilibrium pulse of SPACE is in ``restore``.
        echo_ms: Effective TE (contrast-equivalent; the variable flip angle train is not simulated).
        restore: Share of the transverse magnetisation of long-T2 tissue that is turned back for the next shot.
        blur_mm: Standard deviation of the point-spread function.
        noise: Standard deviation of the Rician noise, relative to fat.
        coil_depth_mm: Depth over which the spine coil's sensitivity falls to 1/e.
        coil_floor: Sensitivity that remains far from the coil.
    """

    repetition_ms: float = 1500.0
    echo_ms: float = 85.0
    restore: float = 0.75
    blur_mm: float = 0.45
    noise: float = 0.03
    coil_depth_mm: float = 110.0
    coil_floor: float = 0.35

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Sequence:
        """Draw one scanner and protocol within what a 3D T2 SPACE of the spine uses."""
        return cls(
            repetition_ms=float(rng.uniform(1200, 2200)),
            echo_ms=float(rng.uniform(70, 115)),
            restore=float(rng.uniform(0.5, 0.95)),
            blur_mm=float(rng.uniform(0.3, 0.6)),
            noise=float(rng.uniform(0.015, 0.05)),
            coil_depth_mm=float(rng.uniform(80, 160)),
            coil_floor=float(rng.uniform(0.25, 0.5)),
        )

    def signal(self, tissue: Tissue) -> float:
        """Spin-echo signal of a tissue, with the driven-equilibrium pulse as a gain of recovered magnetisation."""
        decay = np.exp(-self.echo_ms / tissue.t2)
        recovery = 1 - np.exp(-self.repetition_ms / tissue.t1) * (1 - self.restore * decay)
        return float(tissue.density * recovery * decay)

    def as_json(self) -> dict[str, Any]:
        """Plain values for the phantom's record."""
        return asdict(self)
