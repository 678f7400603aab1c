"""Figures 3 to 6 of the paper: models of both labels side by side; scatter and Bland-Altman plot of each measure.

matplotlib draws them without a display; each goes into a PDF (vectors; the models are pictures in it) and a PNG.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.evaluation.agreement import Agreement
from livf.lib.evaluation.cases import Pair, Reading, read_pair
from livf.lib.evaluation.summary import Sides
from livf.lib.foramen import SIDES, Side, measure
from livf.lib.storage import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rgb = npt.NDArray[np.uint8]

_LEFT: Final = "#1f77b4"
_RIGHT: Final = "#d95f02"
_INK: Final = "#222222"
_FAINT: Final = "#8a8a8a"
_DPI: Final = 150
#: Type 42 keeps text as text in a PDF: it can be searched and edited.
_STYLE: Final[dict[str, Any]] = {
    "pdf.fonttype": 42,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
}


def agreement_figure(sides: Sides, found: Agreement) -> Figure:
    """Scatter with the line of equality, and Bland-Altman plot with bias, limits and their intervals.

    Args:
        sides: The pairs of numbers, at least one.
        found: Their agreement.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        scatter, difference = figure.subplots(1, 2)
        _scatter(scatter, sides, found)
        _bland_altman(difference, sides, found)
        measure = sides.measure
        figure.suptitle(f"{measure.title.capitalize()} ({measure.short}): automatic against manual", fontsize=11)
    return figure


def models_figure(pictures: Mapping[tuple[str, Side], Rgb], title: str) -> Figure:
    """Automatic (above) and manual model (below), seen from the left and from the right.

    Args:
        pictures: What :func:`model_pictures` drew.
        title: Of the figure.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.4, 8.6), layout="constrained")
        grid = figure.subplots(2, 2)
        for row, who in zip(grid, ("automatic", "manual"), strict=True):
            for axes, side in zip(row, SIDES, strict=True):
                axes.imshow(pictures[who, side])
                axes.set_title(f"{who.capitalize()}, {side} view", fontsize=9)
                axes.set_axis_off()
        # A case's name is a file's, so it may hold what matplotlib takes for a formula.
        figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def model_pictures(pair: Pair, reading: Reading) -> dict[tuple[str, Side], Rgb] | None:
    """Models of both labels of a pair in the truth's frame; None where the truth has none, or a label nothing to draw.

    Raises:
        LivfError: A file cannot be read.
    """
    from livf.lib.export.meshes import level_meshes
    from livf.lib.export.render import solid_picture

    truth, predicted = read_pair(pair, reading)
    measured = {
        "automatic": (predicted, measure(np.asarray(predicted.array), predicted.affine)),
        "manual": (truth, measure(np.asarray(truth.array), truth.affine)),
    }
    frame = measured["manual"][1].frame
    if frame is None or not np.asarray(predicted.array).any():
        return None
    pictures = {}
    for who, (label, measurement) in measured.items():
        meshes = level_meshes(np.asarray(label.array), label.affine, measurement)
        for side in SIDES:
            pictures[who, side] = solid_picture(meshes, frame, side)
    return pictures


def write_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``NAME.pdf`` and ``NAME.png``, each whole or not at all.

    Raises:
        OutputError: They cannot be written.
    """
    import matplotlib as mpl

    paths = folder / f"{name}.pdf", folder / f"{name}.png"
    with mpl.rc_context(_STYLE):
        for path in paths:
            with writing(path) as temporary:
                _save(figure, temporary, path.suffix[1:])
    return paths


def _save(figure: Figure, path: str | os.PathLike[str], kind: str) -> None:
    # No dates: the same numbers give the same bytes.
    metadata = {"CreationDate": None, "Producer": None} if kind == "pdf" else {"Software": None}
    figure.savefig(path, format=kind, dpi=_DPI, metadata=metadata)


def _scatter(axes: Axes, sides: Sides, found: Agreement) -> None:
    measure = sides.measure
    one, two = np.asarray(sides.prediction), np.asarray(sides.truth)
    low, high = float(min(one.min(), two.min())), float(max(one.max(), two.max()))
    room = 0.06 * (high - low or 1)
    limits = (low - room, high + room)
    axes.plot(limits, limits, color=_FAINT, linewidth=1, label="equal")
    _dots(axes, two, one, sides)
    if measure.at_most is not None and limits[0] < measure.at_most < limits[1]:
        for line in (axes.axhline, axes.axvline):
            line(measure.at_most, color=_FAINT, linewidth=0.8, linestyle=":")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set_xlabel(f"manual {measure.short} ({measure.unit})")
    axes.set_ylabel(f"automatic {measure.short} ({measure.unit})")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    text = f"n = {found.n} sides, {found.patients} patients"
    if found.pearson.defined:
        text = f"R = {found.pearson.value:.3f}\nICC(2,1) = {found.icc.absolute.value:.3f}\n{text}"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=8)


def _bland_altman(axes: Axes, sides: Sides, found: Agreement) -> None:
    measure, limits = sides.measure, found.bland_altman
    one, two = np.asarray(sides.prediction), np.asarray(sides.truth)
    middle, difference = (one + two) / 2, one - two
    lines = (("upper limit", limits.upper, "--"), ("bias", limits.bias, "-"), ("lower limit", limits.lower, "--"))
    drawn = [line for line in lines if line[1].defined]
    for _, value, style in drawn:
        axes.axhline(value.value, color=_INK, linewidth=1, linestyle=style)
        if value.low == value.low:
            axes.axhspan(value.low, value.high, color=_INK, alpha=0.08, linewidth=0)
    axes.axhline(0, color=_FAINT, linewidth=0.8)
    _dots(axes, middle, difference, sides)
    axes.set_xlabel(f"mean of automatic and manual {measure.short} ({measure.unit})")
    axes.set_ylabel(f"automatic - manual ({measure.unit})")
    axes.margins(x=0.08, y=0.15)
    # Beside the plot, where no dot lies; labels of close lines are kept apart.
    bottom, top = axes.get_ylim()
    step, last = 0.055 * (top - bottom), np.inf
    for name, value, _ in drawn:
        last = min(value.value, last - step)
        text = f"{name} {value.value:.{measure.places}f}"
        axes.annotate(text, (1.01, last), xycoords=("axes fraction", "data"), va="center", fontsize=8)


def _dots(axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], sides: Sides) -> None:
    left = np.asarray(sides.left)
    for chosen, colour, marker, name in ((left, _LEFT, "o", "left"), (~left, _RIGHT, "^", "right")):
        if chosen.any():
            axes.scatter(x[chosen], y[chosen], s=18, color=colour, marker=marker, alpha=0.75, linewidth=0, label=name)
