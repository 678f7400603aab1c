"""A small cohort of phantoms on a coarse grid, with predictions that are wrong in known ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from livf.lib.anatomy import DISC, L5
from livf.lib.images import write_label
from livf.lib.synthesis.phantom import Grid, make_phantom

#: Coarse, but fine enough to measure foramina.
GRID = Grid((86, 86, 64), 1.4, (0, -8, 0))


@dataclass(frozen=True)
class Cohort:
    truth: Path
    predictions: Path
    cases: Path
    labels: dict[str, np.ndarray]
    affine: np.ndarray


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Cohort:
    """Six cases of five patients. a, b, c: L5 a voxel thinner in one place; d: no disc; e: empty; f: as its truth."""
    folder = tmp_path_factory.mktemp("cohort")
    truth, predictions = folder / "labels", folder / "predictions"
    truth.mkdir()
    predictions.mkdir()
    labels = {}
    for seed, case in enumerate("abcdef"):
        phantom = make_phantom(seed + 1, grid=GRID)
        label = phantom.label.copy()
        labels[case] = label
        write_label(truth / f"{case}.nii.gz", label, phantom.affine)
        predicted = label.copy()
        if case in "abc":
            front = np.argwhere(predicted == L5.value)[:, 1].max()
            predicted[:, front - ord(case) + ord("a") :][predicted[:, front - ord(case) + ord("a") :] == L5.value] = 0
        if case == "d":
            predicted[predicted == DISC.value] = 0
        if case == "e":
            predicted[:] = 0
        write_label(predictions / f"{case}.nii.gz", predicted, phantom.affine)
    table = "case,patient,group,sex,age\n"
    table += "a,p1,healthy,female,30\nb,p1,healthy,female,31\nc,p2,herniation,male,50\n"
    table += "d,p3,herniation,male,60\ne,p4,stenosis,female,70\nf,p5,healthy,male,\n"
    (folder / "cases.csv").write_text(table)
    return Cohort(truth, predictions, folder / "cases.csv", labels, phantom.affine)
