"""Which images a run of the bundle segments; what cannot be segmented is told before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np

SUFFIXES: Final = (".nii.gz", ".nii")
#: World axis (R, A, S = 0, 1, 2) of each axis of the network's grid.
_WORLD: Final = (2, 0, 1)
#: A field counts as larger than the network's from this share on (rounding of a header is not).
_LARGER: Final = 1.01
_AXES: Final = ("from top to bottom", "from left to right", "from front to back")


def list_images(
    dataset_dir: str,
    image: str | Sequence[str] | None,
    level_at: Sequence[float] | None,
    postfix: str,
    field_mm: Sequence[float],
    smallest_mm: Sequence[float],
) -> list[dict[str, str]]:
    """List the images of a run, as MONAI's data lists are: ``[{"image": path}, ...]``.

    Args:
        dataset_dir: Folder of NIfTI images; its labels (names that end in ``_POSTFIX``) are passed over.
        image: Path or paths to take instead of the folder.
        level_at: A point in the L4-L5 disc, RAS mm; for one image only.
        postfix: What is added to an image's name for its label.
        field_mm: Largest field of view in whose middle the level is taken to lie (superior, right, anterior).
        smallest_mm: A smaller field of view cannot hold the level.

    Raises:
        FileNotFoundError: A file or the folder is missing, or the folder holds no NIfTI image.
        ValueError: Two images have one name, or images cannot be segmented; each is named with its remedy.
    """
    if image is None:
        paths = _in_folder(Path(dataset_dir), f"_{postfix}")
    else:
        paths = [Path(image)] if isinstance(image, str) else [Path(each) for each in image]
        if missing := [str(path) for path in paths if not path.is_file()]:
            raise FileNotFoundError(f"there is no such file: {', '.join(missing)}")
    if repeated := [name for name, count in Counter(path.name for path in paths).items() if count > 1]:
        raise ValueError(f"several images are named {repeated[0]}: their labels would overwrite each other")
    if level_at is not None and len(paths) > 1:
        raise ValueError("level_at is a point of one image: give one image")
    found = {path: _problem(path, level_at, field_mm, smallest_mm) for path in paths}
    if problems := [f"{path}: {problem}" for path, problem in found.items() if problem]:
        raise ValueError("nothing was segmented:\n" + "\n".join(problems))
    return [{"image": str(path)} for path in paths]


def _in_folder(folder: Path, postfix: str) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; give --dataset_dir DIR or --image FILE")
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and not path.name.startswith("."))
    paths = [path for path in paths if not path.name.endswith(tuple(postfix + suffix for suffix in SUFFIXES))]
    if not paths:
        raise FileNotFoundError(f"{folder}: holds no NIfTI image (.nii.gz or .nii)")
    return paths


def _problem(
    path: Path, level_at: Sequence[float] | None, field_mm: Sequence[float], smallest_mm: Sequence[float]
) -> str | None:
    """Why an image cannot be segmented, by its header; None where nothing is known against it."""
    library: Any = nib
    try:
        header = library.load(path)
        shape, affine = header.shape, header.affine
        world = library.orientations.io_orientation(affine)[:, 0]
    except Exception as error:  # whatever nibabel makes of a damaged file
        return f"cannot be read ({error})"
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        return f"has {len(shape)} dimensions, not 3"
    if np.isnan(world).any():
        return "its header gives no voxel size"
    size = np.asarray(shape[:3]) * np.linalg.norm(affine[:3, :3], axis=0)
    for axis, name in enumerate(_AXES):
        extent = float(size[world == _WORLD[axis]][0])
        if extent < smallest_mm[axis] - 1e-3:
            return f"covers {extent:.0f} mm {name}; L4 to L5 needs at least {smallest_mm[axis]:.0f} mm"
        if level_at is None and extent > field_mm[axis] * _LARGER:
            return (
                f"covers {extent:.0f} mm {name}, more than {field_mm[axis]:.0f} mm: where L4-L5 lies is not known; "
                "give --image this one and --level_at '[R,A,S]', a point in the L4-L5 disc in RAS mm"
            )
    return None
