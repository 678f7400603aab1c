"""Where to lay the network's box in a field of view larger than the paper's: a simple search, honestly uncertain.

The spinal canal is the one bright tube along the body's midline on T2. Where it lies furthest to the front (the apex of
the lordosis) is L4-L5, give or take a vertebra; the network then says where in the box it sees the disc, and the box
follows. Whatever comes out has the level status ``unclear``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import DISC, TRAINED
from livf.lib.segmentation import resample
from livf.lib.segmentation.config import PreprocessConfig, Triple
from livf.lib.segmentation.preprocess import Prepared, place_at_disc, place_by_field, prepare
from livf.lib.values import Volume

Floats = npt.NDArray[np.float32]
Predict = Callable[[Floats], Floats]

#: A field counts as larger than the paper's from this share on (rounding of a header is not).
_LARGER: Final = 1.01
#: Voxel size of the search for the canal, mm.
_COARSE_MM: Final = 3.0
#: Half width of the canal, reach of what surrounds it, and where bone lies beside it, mm.
_CANAL_MM: Final = 4.0
_SURROUND_MM: Final = 14.0
_ASIDE_MM: Final = 18.0
#: Height over which the canal goes on in about the same place, mm.
_UNBROKEN_MM: Final = 27.0
#: The midline lies near the middle of the field, mm.
_MIDLINE_MM: Final = 18.0
#: Largest slope of the canal in the sagittal plane (front-back over height).
_SLOPE: Final = 1.0
#: Middle of the disc from the middle of the canal: half of each (8 and 17 mm), towards the front.
_DISC_FROM_CANAL_MM: Final = 25.0
#: Where L4-L5 lies in the height of a sagittal lumbar scan, share of the field from below, with its spread. Seven
#: public T2 scans gave 0.27 to 0.40.
_USUAL_HEIGHT: Final = 0.36
_HEIGHT_SPREAD_MM: Final = 35.0
#: Guesses, runs of the network for each, and the shift of the disc that is worth another run.
_CANDIDATES: Final = 2
_RUNS: Final = 2
_WORTH_MM: Final = 8.0
#: A run that agrees with itself this well needs no second guess.
_CONVINCING: Final = 0.8
#: Less than this of a structure is too little of it, ml (adult L4 and L5 have 50 to 90 ml, the disc 8 to 20 ml).
_ENOUGH_ML: Final = {structure.value: 6.0 if structure is DISC else 25.0 for structure in TRAINED}


def larger_axes(volume: Volume, config: PreprocessConfig) -> tuple[bool, bool, bool]:
    """Which axes of an image (network order) reach further than the paper's field of view."""
    field = np.asarray(config.field_shape) * config.spacing_mm
    s, r, a = (bool(size > most * _LARGER) for size, most in zip(volume.shape * volume.spacing, field, strict=True))
    return s, r, a


def search(volume: Volume, config: PreprocessConfig, predict: Predict) -> tuple[Prepared, Floats]:
    """Find L4-L5 in a large field of view.

    Args:
        volume: Image in network order.
        config: The network's grid.
        predict: Class probabilities of an input.

    Returns:
        The input of the run that agrees best with itself, and its probabilities.

    Raises:
        InputError: The image is constant.
    """
    best: tuple[float, Prepared, Floats] | None = None
    for guess in first_guesses(volume, config):
        disc: Triple | None = guess
        for _ in range(_RUNS):
            if disc is None:
                break
            prepared = prepare(volume, config, place_at_disc(volume, config, disc))
            probabilities = predict(prepared.array)
            score = agreement(probabilities, config.spacing_mm)
            # As good is better: the later box is centred on what was found.
            if best is None or score >= best[0]:
                best = score, prepared, probabilities
            disc = _moved(disc, _disc(probabilities, prepared), volume)
        if best is not None and best[0] > _CONVINCING:
            break
    assert best is not None
    return best[1], best[2]


def _moved(before: Triple, found: Triple | None, volume: Volume) -> Triple | None:
    """Where to look next: where the disc was found, if that is inside the image and worth another run."""
    if found is None or np.linalg.norm((np.asarray(found) - before) * volume.spacing) < _WORTH_MM:
        return None
    inside = all(-0.5 <= at <= length - 0.5 for at, length in zip(found, volume.shape, strict=True))
    return found if inside else None


def first_guesses(volume: Volume, config: PreprocessConfig) -> tuple[Triple, ...]:
    """Where the disc may lie, image voxels, most likely first.

    Along axes within the paper's field that is its usual place, along larger ones by what looks like the canal.
    """
    usual = place_by_field(volume, config)
    middle = np.asarray(usual.start) + (np.asarray(usual.shape) - 1) / 2 * usual.step
    disc = middle + np.asarray(config.disc_offset_mm) / volume.spacing
    larger = larger_axes(volume, config)
    guesses: list[Triple] = []
    for apex in canal_apexes(volume):
        by_canal = np.asarray(apex) + np.asarray((0, 0, _DISC_FROM_CANAL_MM)) / volume.spacing
        mixed = np.clip(np.where(larger, by_canal, disc), 0, np.asarray(volume.shape) - 1)
        s, r, a = (float(v) for v in mixed)
        if (s, r, a) not in guesses:
            guesses.append((s, r, a))
    return tuple(guesses)


def canal_apexes(volume: Volume) -> tuple[Triple, ...]:
    """Find the canal's point furthest to the front, image voxels, weighed with where L4-L5 usually lies.

    Returns:
        That of what looks most like the canal, then that of what does next.
    """
    from scipy import ndimage

    coarse, scale = _coarse(volume)
    size = np.asarray(coarse.shape)
    smooth = ndimage.gaussian_filter(coarse, 1)
    bright = ndimage.gaussian_filter(smooth, [0, _CANAL_MM / _COARSE_MM, _CANAL_MM / _COARSE_MM])
    aside = round(_ASIDE_MM / _COARSE_MM)
    # Brighter than both sides at the same depth: fat under the skin and behind the muscles runs right across.
    padded = np.pad(bright, ((0, 0), (aside, aside), (0, 0)), mode="edge")
    sides = np.maximum(padded[:, : size[1]], padded[:, 2 * aside :])
    around = ndimage.gaussian_filter(smooth, [0, 1, _SURROUND_MM / _COARSE_MM])
    # Relative to the row's own brightness: surface coils shade an image along the body.
    level = smooth.mean(axis=(1, 2), keepdims=True) + 1e-6
    tube = np.minimum(bright - sides, bright - around) / level
    # The canal goes on; the fat between the spinous processes, as bright, is cut by each of them.
    tube = ndimage.minimum_filter1d(tube, 2 * round(_UNBROKEN_MM / 2 / _COARSE_MM) + 1, axis=0)
    reach = int(_MIDLINE_MM / _COARSE_MM)
    middle = size[1] // 2
    near = slice(max(0, middle - reach), middle + reach + 1)
    tube = tube[:, near]
    flat = tube.max(axis=1)
    found = []
    for _ in range(_CANDIDATES):
        path = _path(flat, _SLOPE)
        row = _apex(path)
        side = near.start + int(np.argmax(ndimage.gaussian_filter1d(tube, 3, axis=0)[row, :, path[row]]))
        s, r, a = ((np.asarray((row, side, path[row])) + 0.5) * scale - 0.5).tolist()
        found.append((s, r, a))
        # The next one runs elsewhere.
        columns = np.arange(size[2])
        flat = np.where(np.abs(columns - path[:, None]) * _COARSE_MM < _ASIDE_MM, flat.min(), flat)
    return tuple(found)


def _apex(path: npt.NDArray[np.intp]) -> int:
    """Row where a way runs furthest to the front; far from the usual height it must run much further."""
    from scipy import ndimage

    rows = np.arange(len(path))
    usual = (rows - _USUAL_HEIGHT * (len(path) - 1)) * _COARSE_MM / _HEIGHT_SPREAD_MM
    front = ndimage.gaussian_filter1d(path.astype(np.float64), 3) * _COARSE_MM
    return int(np.argmax(front - 10 * usual**2))  # a spread away costs as much as 10 mm to the back


def agreement(probabilities: Floats, spacing_mm: float) -> float:
    """How well a run agrees with itself, 0 to 1: sure of what it found, and enough of every structure."""
    best = probabilities.max(axis=0)
    winner = probabilities.argmax(axis=0)
    shares = []
    for channel, structure in enumerate(TRAINED, start=1):
        mask = winner == channel
        volume = np.count_nonzero(mask) * spacing_mm**3 / 1000
        sure = float(best[mask].mean()) if volume else 0.0
        shares.append(min(volume / _ENOUGH_ML[structure.value], 1.0) * sure)
    return min(shares)


def _disc(probabilities: Floats, prepared: Prepared) -> Triple | None:
    """Middle of the disc that a run found, image voxels."""
    channel = 1 + TRAINED.index(DISC)
    mask = probabilities.argmax(axis=0) == channel
    if not mask.any():
        return None
    placement = prepared.placement
    at = np.median(np.argwhere(mask), axis=0)  # an island far off does not move it
    s, r, a = (float(v) for v in np.asarray(placement.start) + at * placement.step)
    return s, r, a


def _coarse(volume: Volume) -> tuple[Floats, npt.NDArray[np.float64]]:
    """The image at the search's voxel size, and image voxels per coarse voxel."""
    size = np.maximum(1, np.rint(np.asarray(volume.shape) * volume.spacing / _COARSE_MM)).astype(int)
    scale = np.asarray(volume.shape) / size
    # Whole voxels first: cheap, and enough at this size.
    whole = np.maximum(1, scale.astype(int))
    thinned = tuple(slice(int(w) // 2, None, int(w)) for w in whole)
    array: Floats = volume.array[thinned].astype(np.float32, order="C")
    for axis in range(3):
        step = array.shape[axis] / size[axis]
        at = (np.arange(size[axis]) + 0.5) * step - 0.5
        array = resample.apply(resample.weights(at, step, array.shape[axis]), array, axis)
    return np.ascontiguousarray(array), scale


def _path(image: Floats, slope: float) -> npt.NDArray[np.intp]:
    """The brightest way through the rows of an image, a column a row, neighbours at most ``slope`` apart."""
    rows, columns = image.shape
    reach = max(1, round(slope))
    total = np.empty_like(image)
    came = np.zeros(image.shape, dtype=np.intp)
    total[0] = image[0]
    offsets = np.arange(-reach, reach + 1)
    index = np.arange(columns)
    for row in range(1, rows):
        before = np.clip(index + offsets[:, None], 0, columns - 1)
        # A small price for sideways steps keeps the way from zigzagging in noise.
        value = total[row - 1][before] - 0.02 * np.abs(offsets)[:, None]
        pick = value.argmax(axis=0)
        came[row] = before[pick, index]
        total[row] = image[row] + value[pick, index]
    path = np.empty(rows, dtype=np.intp)
    path[-1] = int(total[-1].argmax())
    for row in range(rows - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path
