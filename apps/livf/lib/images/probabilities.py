"""Class probabilities as ``livf segment --probabilities`` writes them: a 4D NIfTI, one volume a class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import CHANNELS
from livf.lib.errors import InputError, NotFoundError
from livf.lib.images import checks
from livf.lib.values import Affine

_REMEDY: Final = "give the file that livf segment --probabilities wrote"
#: How far the classes of a voxel may be from 1 in sum: rounding of half precision and of the file.
_ROUNDING: Final = 0.02


def read_probabilities(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.float32], Affine]:
    """Read class probabilities.

    Returns:
        Shape ``(C, I, J, K)``, 0 to 1, background first; and the affine to RAS+ mm.

    Raises:
        NotFoundError: There is no such file.
        InputError: It does not hold class probabilities.
    """
    import nibabel as nib

    path = Path(path)
    if not path.is_file():
        raise NotFoundError("there is no such file", path, "check its name")
    with checks.parsing(path, "a NIfTI image"):
        image = nib.Nifti1Image.from_filename(path)
        if len(image.shape) != 4 or image.shape[3] != CHANNELS:
            raise InputError(f"does not hold the probabilities of {CHANNELS} classes", path, _REMEDY)
        checks.image_shape(image.shape[:3], path)
        affine = checks.image_affine(np.asarray(image.affine, dtype=np.float64), path)
        shares = np.moveaxis(np.asarray(image.dataobj, dtype=np.float32), 3, 0)
    if not (shares.min() >= 0 and np.abs(shares.sum(axis=0) - 1).max() <= _ROUNDING):
        raise InputError("holds values that are no probabilities", path, _REMEDY)
    return shares, affine
