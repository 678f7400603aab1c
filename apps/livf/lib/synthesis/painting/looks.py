"""What the tissues look like: as a T2-weighted sequence makes them, or drawn at random.

A network that has seen only true contrasts fails on the next scanner; one that has seen random ones learns shapes
(Billot et al., SynthSeg, Med Image Anal 2023;86:102789). Half of the looks are of each sort, with some in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from livf.lib.synthesis.tissues import TISSUES, Sequence, Tissue

#: Tissues that the phantoms do not have.
_OTHERS: Final[dict[str, Tissue]] = {
    "organ": Tissue(0.8, 900, 50),
    "cord": Tissue(0.78, 1000, 78),
    "stool": Tissue(0.5, 700, 45),
}
_ALL: Final[dict[str, Tissue]] = {**TISSUES, **_OTHERS}
TISSUE_NAMES: Final[tuple[str, ...]] = tuple(_ALL)


@dataclass(frozen=True)
class Look:
    """Signals and textures of one image.

    Attributes:
        signals: Tissue and its signal relative to fat, in the order of :data:`TISSUE_NAMES`.
        physical: Whether they follow a T2-weighted sequence.
        cortex_mm: Thickness of the dark shell of a body.
        arch_cortex_mm: Of an arch: thicker.
        shift_mm: Chemical shift of the marrow's fat, along the superior and the anterior axis: it thickens one shell
            and thins the opposite one.
        grain: Standard deviation of the marrow's texture, relative.
        patches: Standard deviation of larger patches in it, relative.
        streaks: How much fat lies in the muscles, 0 to 1.
        arch_gain: Brightness of the arch's marrow against the body's.
        vein_gain: Brightness of the basivertebral vein against the marrow.
        end_plate_gain: Brightness of marrow near the end plates against the rest (fatty or oedematous change).
        joint_fluid: Thickness of bright fluid or cartilage in the facet joints, mm.
        roots: Number of rootlets in the sac.
        front_gain: What a saturation band or motion leaves of the signal in front of the spine, 0 to 1.
        contrast_of_abdomen: How much the tissues in front differ from one another, 0 to 1.
    """

    signals: tuple[float, ...]
    physical: bool
    cortex_mm: float = 0.9
    arch_cortex_mm: float = 1.0
    shift_mm: tuple[float, float] = (0.0, 0.0)
    grain: float = 0.05
    patches: float = 0.09
    streaks: float = 0.4
    arch_gain: float = 1.1
    vein_gain: float = 1.4
    end_plate_gain: float = 1.0
    joint_fluid: float = 0.8
    roots: int = 18
    front_gain: float = 1.0
    contrast_of_abdomen: float = 1.0

    def signal(self, tissue: str) -> float:
        """Signal of a tissue."""
        return self.signals[TISSUE_NAMES.index(tissue)]


def physical_signals(sequence: Sequence, rng: np.random.Generator, spread: float = 0.07) -> tuple[float, ...]:
    """Signals relative to fat under a sequence, every tissue some per cent from the textbook."""
    signals = {name: sequence.signal(t) * float(rng.normal(1, spread)) for name, t in _ALL.items()}
    fat = signals["fat"]
    return tuple(max(value / fat, 0.0) for value in signals.values())


def draw_sequence(rng: np.random.Generator) -> Sequence:
    """SPACE, or a two-dimensional TSE over a range of TR and TE (blur and noise are the scan's, drawn elsewhere)."""
    if rng.random() < 0.4:
        return Sequence.sample(rng)
    return Sequence(repetition_ms=float(rng.uniform(2200, 6000)), echo_ms=float(rng.uniform(70, 135)), restore=0.0)


def draw_look(rng: np.random.Generator) -> Look:
    """Half T2-weighted; half random, of which some keep a share of the true contrast."""
    physical = bool(rng.random() < 0.5)
    signals = np.asarray(physical_signals(draw_sequence(rng), rng))
    names = list(TISSUE_NAMES)
    if physical:
        if rng.random() < 0.1:  # fat suppressed
            signals = signals * np.where([n in ("fat", "marrow", "skin") for n in names], rng.uniform(0.08, 0.4), 1.0)
            signals = signals / max(float(signals[names.index("csf")]), 1e-3)
        # The apparent signal of marrow varies more than any other tissue's: red, fatty, sclerotic.
        signals[names.index("marrow")] *= float(np.exp(rng.normal(0, 0.22)))
        signals[names.index("csf")] *= float(np.exp(rng.normal(0.05, 0.15)))
    else:
        chance = rng.uniform(0.02, 1.2, size=len(names))
        keep = float(rng.uniform(0, 0.6)) if rng.random() < 0.6 else 0.0
        signals = keep * signals + (1 - keep) * chance
        marrow, shell = names.index("marrow"), names.index("cortex")
        # Bone without any edge against its own shell cannot be seen on any scan.
        if abs(signals[marrow] - signals[shell]) < 0.15:
            signals[shell] = max(signals[marrow] - 0.25, 0.02) if signals[marrow] > 0.3 else signals[marrow] + 0.25
    axis = rng.random() < 0.5
    shift = float(rng.uniform(-1.1, 1.1)) * float(rng.random() < 0.7)
    return Look(
        signals=tuple(float(s) for s in signals),
        physical=physical,
        cortex_mm=float(rng.uniform(0.45, 1.3)),
        arch_cortex_mm=float(rng.uniform(0.6, 1.5)),
        shift_mm=(shift, 0.0) if axis else (0.0, shift),
        grain=float(rng.uniform(0.01, 0.08)),
        patches=float(rng.uniform(0.02, 0.16)),
        streaks=float(rng.beta(1.4, 1.8)),
        arch_gain=float(np.exp(rng.normal(0.1, 0.15))),
        vein_gain=float(np.exp(rng.normal(0.2, 0.22))),
        end_plate_gain=float(np.exp(rng.normal(0, 0.2))) if rng.random() < 0.4 else 1.0,
        joint_fluid=float(rng.uniform(0.0, 1.2)),
        roots=int(rng.integers(10, 24)),
        front_gain=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.35 else 1.0,
        contrast_of_abdomen=float(rng.uniform(0.4, 1.0)),
    )
