"""Draw docs/foramen-definition.png: what is measured, on a phantom, by the engine itself.

python scripts/draw_definition.py [--seed 7] [-o docs/foramen-definition.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from scipy import ndimage

from livf.lib.anatomy import DISC, L4, L5, TRAINED, VERTEBRAE
from livf.lib.foramen import ForamenMeasurement, Measurement, measure
from livf.lib.storage import writing
from livf.lib.synthesis.phantom import make_phantom
from livf.lib.values import to_index

matplotlib.use("Agg")
import matplotlib.pyplot as plt

#: The sections that the slab is read from lie so far behind the posterior wall, mm; and where the wall is taken.
BEHIND_WALL = (1.0, 5.0)
COLOURS = {
    "pedicle": "#d55e00",
    "posterior_wall": "#0072b2",
    DISC.name: "#009e73",
    "superior_articular_process": "#cc79a7",
    "joint": "#e00000",
    "arch": "#b8860b",
}


def colour_of(part: str) -> str:
    """Colour of a part of the outline: the two vertebrae's pedicles and walls share one each."""
    return next(colour for name, colour in COLOURS.items() if part.endswith(name))


def from_behind(axes: Axes, label: np.ndarray, affine: np.ndarray, measurement: Measurement) -> None:
    """The coronal section behind the posterior wall, and the slab of each side."""
    frame = measurement.frame
    assert frame is not None
    walls = {structure.name: _wall(measurement, structure.name) for structure in VERTEBRAE}
    left, up = np.arange(-34, 34.2, 0.25), np.arange(-32, 32.2, 0.25)
    share = np.zeros((left.size, up.size, 3))
    depths = np.linspace(*BEHIND_WALL, 5)
    for depth in depths:
        grid = np.empty((left.size, up.size, 3))
        grid[..., 0], grid[..., 2] = left[:, None], up
        grid[..., 1] = np.where(up > 0, walls[L4.name](up), walls[L5.name](up)) - depth
        index = np.moveaxis(to_index(affine, frame.to_ras(grid)), -1, 0)
        here = ndimage.map_coordinates(label, index, order=0, mode="constant")
        for structure in TRAINED:
            share[here == structure.value] += np.asarray(structure.rgb) / 255 / depths.size
    shown = np.where(share.sum(-1, keepdims=True) > 0, share, 0.08)
    axes.imshow(shown.transpose(1, 0, 2).clip(0, 1), origin="lower", extent=(left[0], left[-1], up[0], up[-1]))
    for side, foramen in measurement.foramina.items():
        if foramen.numbers is None:
            continue
        sign = 1 if side == "left" else -1
        medial, lateral = foramen.numbers.slab_mm
        axes.axvspan(sign * medial, sign * lateral, color="white", alpha=0.22)
        for border in (medial, lateral):
            axes.axvline(sign * border, color="white", lw=1.2, ls="--")
        axes.text(
            sign * (medial + lateral) / 2, -30, f"slab, {side}", color="white", ha="center", va="bottom", fontsize=9
        )
    for structure, height in ((L4, 15), (L5, -20)):
        axes.text(0, height, structure.name, color="white", ha="center", fontsize=10)
    axes.set(xlabel="L, mm (to the patient's left)", ylabel="S, mm", xlim=(-34, 34), ylim=(-32, 32))
    axes.set_title("a  From the front, behind the posterior wall:\nthe pedicles' borders set the slab", loc="left")


def _wall(measurement: Measurement, vertebra: str) -> np.poly1d:
    """A of a vertebra's posterior wall by S, from both outlines."""
    points = [
        run
        for foramen in measurement.foramina.values()
        if foramen.outline
        for name, run in foramen.outline.named()
        if name == f"{vertebra}_posterior_wall"
    ]
    a, s = np.vstack(points).T
    return np.poly1d(np.polyfit(s, a, 1))


def from_the_side(axes: Axes, foramen: ForamenMeasurement) -> None:
    """The projection along L, the outline with its parts, FH and FW."""
    view, outline, numbers = foramen.view, foramen.outline, foramen.numbers
    assert view is not None and outline is not None and numbers is not None
    back, front, low, high = view.extent
    axes.imshow(np.sqrt(view.image.T), origin="lower", extent=(back, front, low, high), cmap="gray", vmin=0, vmax=1.25)
    runs = [(name, points) for name, points in outline.named() if len(points) > 4]
    for name, points in outline.named():
        axes.plot(*points.T, color=colour_of(name), lw=3, solid_capstyle="butt")
    middle = outline.points.mean(axis=0)
    for at_front in (True, False):
        held = [(n, p[len(p) // 2]) for n, p in runs if (p[len(p) // 2][0] > middle[0] - 1.5) == at_front]
        held.sort(key=lambda item: item[1][1])
        height = low + 2.0
        for name, point in held:
            height = max(height + 4.0, point[1])
            axes.annotate(
                name.replace("_", " ").replace("superior ", "superior\n") if name != DISC.name else "disc",
                point,
                (front - 1, height) if at_front else (back + 1, height),
                color=colour_of(name),
                fontsize=9,
                ha="left" if at_front else "right",
                va="center",
                bbox={"boxstyle": "round,pad=0.2", "fc": "black", "ec": "none", "alpha": 0.75},
                arrowprops={"arrowstyle": "-", "color": colour_of(name)},
            )
    top, bottom = foramen.landmarks["superior"], foramen.landmarks["inferior"]
    axes.annotate("", (top[0], top[1]), (top[0], bottom[1]), arrowprops={"arrowstyle": "<->", "color": "lime", "lw": 2})
    axes.text(top[0] - 0.4, 0.75 * top[1] + 0.25 * bottom[1], "FH", color="lime", fontsize=11, ha="left")
    if numbers.width_segment:
        start, end = np.asarray(numbers.width_segment.start), np.asarray(numbers.width_segment.end)
        axes.plot(*np.stack([start, end]).T, color="deepskyblue", lw=2, marker="o", ms=5)
        axes.text(*(0.3 * start + 0.7 * end) + [0, 0.5], "FW", color="deepskyblue", fontsize=11)
        axes.annotate("corner", start, start + np.array([-1.5, 4.0]), color="deepskyblue", fontsize=9,
                      arrowprops={"arrowstyle": "-", "color": "deepskyblue"})  # fmt: skip
    axes.fill(*outline.points.T, color="yellow", alpha=0.12)
    axes.text(*outline.points.mean(axis=0) - [1.0, 3.5], "FA", color="yellow", fontsize=11)
    axes.set(xlim=(front, back), xlabel="A, mm (front to the left)", ylabel="S, mm")
    axes.set_title(
        "b  From the left, everything in the slab at once:\nthe outline, its parts and its measures", loc="left"
    )


def main() -> None:
    """Make the phantom, measure it, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/foramen-definition.png"))
    arguments = parser.parse_args()
    phantom = make_phantom(arguments.seed, group="healthy")
    measurement = measure(phantom.label, phantom.affine)
    figure, (behind, side) = plt.subplots(1, 2, figsize=(12.5, 6.6), width_ratios=(1.05, 0.85), layout="constrained")
    from_behind(behind, phantom.label, phantom.affine, measurement)
    from_the_side(side, measurement.foramina["left"])
    with writing(arguments.output) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


if __name__ == "__main__":
    main()
