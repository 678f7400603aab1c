"""What every image must be, whichever format it came in.

Geometry is checked from the header, before any voxel is read: a header that claims a trillion voxels costs nothing.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from livf.lib.errors import InputError, LivfError
from livf.lib.values import Affine, Array, spacing

#: Largest image read, in voxels (1 GiB as float32); the paper's grid has 13 million.
MAX_VOXELS: Final = 2**28
#: Voxel sizes of a clinical scan lie well inside these, in mm; outside them a unit is wrong.
MIN_SPACING_MM: Final = 0.02
MAX_SPACING_MM: Final = 20.0
#: Largest departure of two voxel axes from a right angle. Resampling follows the affine exactly, but viewers and the
#: ITK formats draw a sheared image as a straight one: over 100 mm, one degree is 1.7 mm.
MAX_SHEAR_DEGREES: Final = 1.0
#: Larger values are no MR signal and overflow single precision once squared.
MAX_MAGNITUDE: Final = 1e12

_EXPORT_AGAIN: Final = "export or copy it again"


@contextmanager
def parsing(where: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into one :class:`InputError`.

    The catch is broad on purpose: parsers of untrusted bytes raise anything from struct errors to recursion limits,
    and none of them may end a server or a batch. Keep the block to the library's own calls.
    """
    try:
        yield
    except LivfError:
        raise
    except MemoryError as error:
        raise InputError("does not fit in memory", where, "crop it to the lumbar spine") from error
    except PermissionError as error:
        raise InputError("cannot be read: permission denied", where, "ask its owner for access") from error
    except Exception as error:
        raise InputError(f"is damaged, cut short or not {kind}", where, _EXPORT_AGAIN) from error


def image_shape(shape: Sequence[int], where: str | os.PathLike[str]) -> tuple[int, int, int]:
    """The 3D shape of an image, trailing axes of length 1 dropped.

    Raises:
        InputError: It is 2D, 4D or larger, empty, or has more than :data:`MAX_VOXELS` voxels.
    """
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    text = "x".join(str(size) for size in sizes)
    if any(size < 0 for size in sizes):
        raise InputError(f"has an impossible size ({text})", where, _EXPORT_AGAIN)
    if not sizes or 0 in sizes:
        raise InputError(f"is empty ({text or 'no'} voxels)", where, _EXPORT_AGAIN)
    if len(sizes) > 3:
        raise InputError(
            f"has {len(sizes)} dimensions ({text}), not 3", where, "save one volume (one echo, one time point) alone"
        )
    if len(sizes) < 3 or 1 in sizes:
        raise InputError(f"is a single slice ({text}), not a 3D volume", where, "give the whole series")
    # Python integers do not overflow, as the product of a mutated header's sizes would in a fixed width.
    if (voxels := sizes[0] * sizes[1] * sizes[2]) > MAX_VOXELS:
        raise InputError(
            f"claims {voxels:.3g} voxels ({text}); at most {MAX_VOXELS} are read",
            where,
            "crop it to the lumbar spine, or export it again if it is smaller",
        )
    return sizes[0], sizes[1], sizes[2]


def image_affine(affine: Affine, where: str | os.PathLike[str]) -> Affine:
    """The affine as float64, checked. A left-handed one is as good as a right-handed one.

    Raises:
        InputError: It is not finite, a voxel size is zero or absurd, or the axes are not orthogonal.
    """
    affine = np.array(affine, dtype=np.float64)
    if not np.isfinite(affine).all():
        raise InputError("its geometry is not finite (NaN or infinite position, direction or spacing)", where,
                         _EXPORT_AGAIN)  # fmt: skip
    sizes = spacing(affine)
    text = " x ".join(f"{size:.4g}" for size in sizes)
    if (sizes == 0).any():
        raise InputError(f"has a voxel size of zero ({text} mm)", where, "set its true spacing")
    if (sizes < MIN_SPACING_MM).any() or (sizes > MAX_SPACING_MM).any():
        raise InputError(f"has an implausible voxel size ({text} mm)", where, "check its spacing and its units")
    axes = affine[:3, :3] / sizes
    cosines = np.abs((axes.T @ axes)[np.triu_indices(3, 1)])
    shear = float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))
    if shear > MAX_SHEAR_DEGREES:
        raise InputError(
            f"its voxel axes are not orthogonal ({shear:.1f} degrees off)",
            where,
            "resample it to a straight grid (gantry tilt and shears are not supported)",
        )
    return affine


def image_voxels(array: Array, where: str | os.PathLike[str], *, constant: bool = False) -> Array:
    """The voxels, checked to be real, finite and (unless ``constant`` is allowed) not all the same.

    Raises:
        InputError: They are colours, complex, not finite, absurdly large or constant.
    """
    scalar_voxels(array.dtype, where)
    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise InputError(
            f"holds {bad} voxels that are not numbers (NaN or infinite)", where, "replace them, for example by 0"
        )
    if max(abs(float(low)), abs(float(high))) > MAX_MAGNITUDE:
        raise InputError(f"holds values up to {max(abs(float(low)), abs(float(high))):.3g}, which are no MR signal",
                         where, _EXPORT_AGAIN)  # fmt: skip
    if low == high and not constant:
        raise InputError(f"every voxel has the same value ({low:g}): there is no image in it", where, _EXPORT_AGAIN)
    return array


def scalar_voxels(dtype: np.dtype[np.generic], where: str | os.PathLike[str]) -> None:
    """Refuse voxels that are not one real number each."""
    if dtype.kind == "c":
        raise InputError("its voxels are complex numbers", where, "save the magnitude image")
    if dtype.kind not in "biuf":
        raise InputError("its voxels are colours or vectors, not one value each", where, "save a greyscale image")


def deflated(path: Path, offset: int, expected: int, kind: str) -> None:
    """Check that the zlib or gzip stream at ``offset`` is whole and holds ``expected`` bytes.

    MetaIO gives a half-decoded image without an error when such a stream is damaged, hence this pass ahead of it.

    Raises:
        InputError: The stream is damaged or cut short, or has another length.
    """
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: zlib or gzip by its own header
    size = 0
    with parsing(path, kind), path.open("rb") as file:
        file.seek(offset)
        while not decoder.eof and size <= expected and (block := file.read(1 << 20)):
            while block and not decoder.eof and size <= expected:
                size += len(decoder.decompress(block, 1 << 24))
                block = decoder.unconsumed_tail
    if not decoder.eof or size != expected:
        raise InputError(f"is damaged, cut short or not {kind}", path, _EXPORT_AGAIN)
