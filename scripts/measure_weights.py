"""Measure the shipped weights: Dice on phantoms that were never trained on, all orientations, and real MRI if at hand.

    python scripts/measure_weights.py phantoms -n 20 [--from 0]
    python scripts/measure_weights.py orientations
    python scripts/measure_weights.py real ../shared/data/mri [--pictures DIR]

Real images have labels of bodies (``*_bodies.nii.gz``: 23 is L4, 24 is L5) or of discs (``*_discs.nii.gz``) only, so
their Dice compares a body with a whole vertebra where no posterior elements are labelled: the prediction is cut to
3 mm around the body before it is compared.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.evaluation.overlap import dice_table
from livf.lib.images import read_image, read_label
from livf.lib.segmentation import Segmenter
from livf.lib.synthesis.phantom import make_phantom
from livf.lib.values import Volume


def phantoms(arguments: argparse.Namespace) -> None:
    """Dice on phantoms."""
    segmenter = Segmenter.load(arguments.model)
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.number):
        phantom = make_phantom(seed)
        result = segmenter(phantom.image)
        rows.append({"seed": seed, "group": phantom.group, **dice_table(result.label, phantom.label)})
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}), flush=True)
    for name in ("all", "VBS", "IVD"):
        values = [row[name] for row in rows]
        worst = min(rows, key=lambda row: row[name])
        spread = f"mean {np.mean(values):.4f}  SD {np.std(values):.4f}"
        print(f"{name}: {spread}  worst {worst[name]:.4f} (seed {worst['seed']})")


def orders() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All 48 ways to store a volume: orders of the axes and their directions."""
    yield from itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))


def orientations(arguments: argparse.Namespace) -> None:
    """Largest difference between the labels of one phantom stored in all 48 orientations."""
    segmenter = Segmenter.load(arguments.model)
    phantom = make_phantom(arguments.first)
    image, affine = phantom.image.array, phantom.affine
    reference, worst = None, 0.0
    for axes, signs in orders():
        flip = tuple(slice(None, None, sign) for sign in signs)
        index = np.zeros((4, 4))
        for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
            index[old, new] = sign
            index[old, 3] = 0 if sign > 0 else image.shape[old] - 1
        index[3, 3] = 1
        stored = image.transpose(axes)[flip]
        label = segmenter(Volume(np.ascontiguousarray(stored), affine @ index, "orientation")).label
        back = label[flip].transpose(np.argsort(axes))
        reference = back if reference is None else reference
        worst = max(worst, np.count_nonzero(back != reference) / max(np.count_nonzero(reference), 1))
    print(f"48 orientations: largest difference to the first {100 * worst:.4f} % of labelled voxels")


def real(arguments: argparse.Namespace) -> None:
    """Dice on real images that have body or disc masks."""
    segmenter = Segmenter.load(arguments.model)
    for path in sorted(Path(arguments.folder).glob("*_T2w.nii.gz")):
        case = path.name.removesuffix("_T2w.nii.gz")
        volume = read_image(path)
        result = segmenter(volume)
        row: dict[str, object] = {"case": case, "level": result.level_status, "warnings": result.warnings}
        bodies, discs = path.with_name(f"{case}_bodies.nii.gz"), path.with_name(f"{case}_discs.nii.gz")
        if bodies.exists():
            truth = np.asarray(read_label(bodies).array)
            for structure, value in ((L4, 23), (L5, 24)):
                row[structure.name] = body_dice(result.label == structure.value, truth == value, volume.spacing)
            row["level_found"] = which(result.label == L5.value, truth)
        if discs.exists():
            row[DISC.name] = disc_dice(result.label == DISC.value, np.asarray(read_label(discs).array), volume)
        print(json.dumps(row), flush=True)
        if arguments.pictures and result.label.any():
            from livf.lib.export.overview import write_overview

            Path(arguments.pictures).mkdir(parents=True, exist_ok=True)
            write_overview(Path(arguments.pictures) / f"{case}.png", volume, result.label)


def body_dice(predicted: np.ndarray, body: np.ndarray, spacing: np.ndarray) -> float:
    """Dice of a body with the part of a vertebra that lies within 3 mm of it."""
    near = ndimage.distance_transform_edt(~body, sampling=spacing) <= 3
    cut = predicted & near
    return round(float(2 * (cut & body).sum() / max(cut.sum() + body.sum(), 1)), 3)


def which(predicted: np.ndarray, bodies: np.ndarray) -> str:
    """Which labelled body the predicted L5 covers most."""
    values, counts = np.unique(bodies[predicted & (bodies > 0)], return_counts=True)
    return f"L{int(values[counts.argmax()]) - 19}" if len(values) else "none"


def disc_dice(predicted: np.ndarray, discs: np.ndarray, volume: Volume) -> float:
    """Dice with the L4-L5 disc: the second from below."""
    heights = {}
    for value in np.unique(discs[discs > 0]):
        index = np.argwhere(discs == value).mean(axis=0)
        heights[value] = (volume.affine[:3, :3] @ index + volume.affine[:3, 3])[2]
    truth = discs == sorted(heights, key=heights.__getitem__)[1]
    return round(float(2 * (predicted & truth).sum() / max(predicted.sum() + truth.sum(), 1)), 3)


def main() -> None:
    """Parse and run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", type=Path, help="folder of the weights (default: the shipped ones)")
    common.add_argument("--from", dest="first", type=int, default=0, help="first seed")
    kinds = parser.add_subparsers(required=True)
    kind = kinds.add_parser("phantoms", parents=[common])
    kind.add_argument("-n", "--number", type=int, default=20)
    kind.set_defaults(measure=phantoms)
    kinds.add_parser("orientations", parents=[common]).set_defaults(measure=orientations)
    kind = kinds.add_parser("real", parents=[common])
    kind.add_argument("folder")
    kind.add_argument("--pictures", help="folder for a picture of each case")
    kind.set_defaults(measure=real)
    arguments = parser.parse_args()
    arguments.measure(arguments)


if __name__ == "__main__":
    main()
