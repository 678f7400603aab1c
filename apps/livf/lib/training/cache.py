"""Cases brought to the network's grid once, and kept as plain arrays that every epoch, process and fold maps.

An entry is named after the content of its files and the grid, so it is right or not there. MONAI's PersistentDataset
would keep pickles, and its CacheDataset a copy in each process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import CHANNELS, DISC, TRAINED
from livf.lib.dataset import Case, read_case_image, read_case_label
from livf.lib.segmentation import box, preprocess, resample
from livf.lib.segmentation.config import PreprocessConfig, Shape
from livf.lib.segmentation.orientation import canonical
from livf.lib.segmentation.preprocess import Placement, Region
from livf.lib.storage import make_folder, writing
from livf.lib.values import Volume

#: Bump when the same files would give other arrays.
_VERSION: Final = 1
#: What lies around the box, to turn and shift into it, mm.
MARGIN_MM: Final = 9.6


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case on the network's grid, with a margin around the box. Axes (superior, right, anterior).

    Attributes:
        name: Of the case.
        image: float16, z-scored over what the image covers, 0 elsewhere.
        label: uint8, the same shape, channel numbers of the network's output.
        covered: Part of the array that the image covers.
    """

    name: str
    image: npt.NDArray[np.float16]
    label: npt.NDArray[np.uint8]
    covered: Region

    def middle(self, shape: Shape) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """The box itself as the network is given it when it is used, and its label."""
        starts = [(size - part) // 2 for size, part in zip(self.image.shape, shape, strict=True)]
        whole = tuple(slice(start, start + part) for start, part in zip(starts, shape, strict=True))
        inner = tuple(
            slice(max(part.start - start, 0), max(min(part.stop - start, size), 0))
            for part, start, size in zip(self.covered, starts, shape, strict=True)
        )
        image = np.zeros(shape, dtype=np.float32)
        image[inner] = preprocess.normalise(self.image[whole][inner].astype(np.float32))
        return image, np.ascontiguousarray(self.label[whole])


def fingerprint(case: Case) -> str:
    """SHA-256 of a case's image and label: what they hold, not where they lie."""
    digest = hashlib.sha256()
    for path in (case.image, case.label):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(repr(case.numbering).encode())
    return digest.hexdigest()


def prepare_cases(
    cases: Sequence[Case],
    config: PreprocessConfig,
    folder: Path,
    *,
    fingerprints: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Bring cases to the grid; what is there already is kept.

    Args:
        cases: Of a data set that was checked.
        config: The grid.
        folder: Of the cache; made when missing.
        fingerprints: Of each case.
        progress: Told how many of how many are done.

    Raises:
        LivfError: A case cannot be used, or the folder not written.
    """
    make_folder(folder)
    for done, (case, mark) in enumerate(zip(cases, fingerprints, strict=True)):
        target = _entry(folder, mark, config)
        if not target.exists():
            _write(target, prepare_case(case, config))
        if progress is not None:
            progress(done + 1, len(cases))


def load_case(case: Case, config: PreprocessConfig, folder: Path, mark: str) -> PreparedCase:
    """Map a prepared case."""
    packed = np.load(_entry(folder, mark, config), mmap_mode="r", allow_pickle=False)
    covered = [slice(int(low), int(high)) for low, high in packed["covered"]]
    return PreparedCase(case.name, packed["image"], packed["label"], (covered[0], covered[1], covered[2]))


def prepare_case(case: Case, config: PreprocessConfig) -> PreparedCase:
    """Bring a case to the grid.

    The box lies where it will lie when the network is used: by the field of view where that is the paper's or smaller;
    in a larger one, where it is searched for, around the disc of the label.

    Raises:
        LivfError: A file cannot be used.
    """
    image, orientation = canonical(read_case_image(case))
    label = orientation.turn(read_case_label(case).label)
    placement = _place(image, label, config)
    margin = round(MARGIN_MM / config.spacing_mm)
    s, r, a = (start - margin * step for start, step in zip(placement.start, placement.step, strict=True))
    d, h, w = (size + 2 * margin for size in placement.shape)
    placement = Placement((s, r, a), placement.step, (d, h, w))
    prepared = preprocess.prepare(image, config, placement)
    return PreparedCase(case.name, prepared.array.astype(np.float16), _resampled(label, prepared), prepared.inside)


def _place(image: Volume, label: npt.NDArray[np.generic], config: PreprocessConfig) -> Placement:
    disc = np.argwhere(label == DISC.value)
    if len(disc) and any(box.larger_axes(image, config)):
        s, r, a = (float(v) for v in disc.mean(axis=0))
        return preprocess.place_at_disc(image, config, (s, r, a))
    return preprocess.place_by_field(image, config)


def _resampled(label: npt.NDArray[np.generic], prepared: preprocess.Prepared) -> npt.NDArray[np.uint8]:
    """A label on the grid, the class with the largest share of each voxel; background beyond the image."""
    placement, inside = prepared.placement, prepared.inside
    matrices = []
    for axis in range(3):
        at = placement.positions(axis)[inside[axis]]
        matrices.append(resample.weights(at, placement.step[axis], label.shape[axis]))
    shares = []
    for structure in TRAINED:
        share: npt.NDArray[np.float32] = (label == structure.value).astype(np.float32)
        for axis, matrix in enumerate(matrices):
            share = _along(matrix, share, axis)
        shares.append(share)
    classes = np.argmax([1 - np.sum(shares, axis=0), *shares], axis=0)
    whole = np.zeros(placement.shape, dtype=np.uint8)
    whole[inside] = classes
    return whole


def _along(matrix: npt.NDArray[np.float32], array: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """Resample an axis; where the grids agree that is a plain cut."""
    taken = matrix.argmax(axis=1)
    if np.array_equal(matrix[np.arange(len(taken)), taken], np.ones(len(taken), dtype=np.float32)):
        return np.asarray(np.take(array, taken, axis=axis))
    return resample.apply(matrix, array, axis)


def _entry(folder: Path, mark: str, config: PreprocessConfig) -> Path:
    grid = json.dumps([_VERSION, MARGIN_MM, CHANNELS, asdict(config)], sort_keys=True)
    return folder / f"{mark[:24]}-{hashlib.sha256(grid.encode()).hexdigest()[:12]}.npy"


def _write(target: Path, case: PreparedCase) -> None:
    """One array with three named fields: a file that can be mapped, and is whole or not there."""
    shape = case.image.shape
    kind = np.dtype([("image", np.float16, shape), ("label", np.uint8, shape), ("covered", np.int32, (3, 2))])
    packed = np.zeros((), dtype=kind)
    packed["image"], packed["label"] = case.image, case.label
    packed["covered"] = [(part.start, part.stop) for part in case.covered]
    with writing(target) as temporary, temporary.open("wb") as file:
        np.save(file, packed)
