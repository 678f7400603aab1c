"""Phantoms' anatomy drawn exactly on any grid: no label is resampled, so no voxel is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from foramina.reporting import Case
from livf.lib.anatomy import TRAINED
from livf.lib.synthesis.morphometry import sample_anatomy
from livf.lib.synthesis.phantom import draw_group
from livf.lib.synthesis.spine import Spine
from livf.lib.synthesis.studies import group_of

Floats = npt.NDArray[np.float64]

#: Half of the box round the level that is drawn, mm, and its middle relative to the disc's, RAS.
REACH_MM: Final = (54.0, 62.0, 46.0)
MIDDLE_MM: Final = (0.0, -16.0, 0.0)


@dataclass(frozen=True)
class Sampling:
    """How a person lies on a grid.

    Attributes:
        spacing: Voxel size along the three axes, mm.
        angles: The grid is turned by these against R, A and S, degrees.
        shift: The grid is moved by these, mm.
        turned_person: The person is turned instead: the affine's axes stay along R, A and S.
    """

    spacing: tuple[float, float, float] = (0.8, 0.8, 0.8)
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turned_person: bool = False


@dataclass(frozen=True)
class Boundary:
    """What is done to every structure's boundary.

    Attributes:
        offset: Every structure's surface is moved outwards by this, mm; inwards, structures in contact part.
        noise: SD along any direction of a random displacement of all boundaries, mm. What is in contact stays so, as in
            any label that gives each voxel one structure.
        length: The noise's correlation falls to 1/e over this distance, mm.
        seed: Of the noise.
    """

    offset: float = 0.0
    noise: float = 0.0
    length: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Person:
    """A phantom's anatomy without its image; the same as ``make_phantom(seed, group=group_of(seed))``."""

    seed: int
    spine: Spine = field(compare=False)

    @classmethod
    def of(cls, seed: int) -> Person:
        rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(4)[0])
        draw_group(rng)  # make_phantom draws a group first, also when one is given
        return cls(seed, Spine(sample_anatomy(rng, group_of(seed))))

    def case(self, sampling: Sampling | None = None, boundary: Boundary | None = None) -> Case:
        """The label of the level on a grid."""
        sampling, boundary = sampling or Sampling(), boundary or Boundary()
        spacing = np.asarray(sampling.spacing)
        count = np.ceil(2 * np.asarray(REACH_MM) / spacing).astype(int)
        turn = Rotation.from_euler("xyz", sampling.angles, degrees=True).as_matrix()
        grid = np.eye(4)
        grid[:3, :3] = turn * spacing
        middle = np.asarray(MIDDLE_MM) + np.asarray(sampling.shift)
        grid[:3, 3] = middle - grid[:3, :3] @ ((count - 1) / 2)
        depth = self._depth(grid, count, not any(sampling.angles), boundary) - boundary.offset
        label = np.zeros(depth.shape[1:], dtype=np.uint8)
        values = np.array([structure.value for structure in TRAINED], dtype=np.uint8)
        # Where moved boundaries overlap, the deeper structure has the voxel.
        inside = depth.min(axis=0) < 0
        label[inside] = values[depth.argmin(axis=0)[inside]]
        if sampling.turned_person:
            grid[:3, :3] = np.diag(spacing)
        return Case(f"phantom_{self.seed:05d}", label, grid)

    def _depth(
        self, grid: Floats, count: npt.NDArray[np.int64], straight: bool, boundary: Boundary
    ) -> npt.NDArray[np.float32]:
        """Signed functions of the three structures on the grid, negative inside."""
        if straight and not boundary.noise:
            axes = [(grid[k, k] * np.arange(n) + grid[k, 3]).astype(np.float32) for k, n in enumerate(count)]
            fields = self.spine.fields(*axes)
            return np.stack([fields[structure.name] for structure in TRAINED])
        index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in count), indexing="ij"), axis=-1)
        points = index @ grid[:3, :3].T.astype(np.float32) + grid[:3, 3].astype(np.float32)
        if boundary.noise:
            rng, spacing = np.random.default_rng([self.seed, boundary.seed]), np.linalg.norm(grid[:3, :3], axis=0)
            for k in range(3):
                points[..., k] += boundary.noise * correlated_noise(tuple(count), spacing, boundary.length, rng)
        return np.stack([self.spine.distance(structure.name, points) for structure in TRAINED])


def correlated_noise(
    shape: tuple[int, ...], spacing: npt.ArrayLike, length: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Gaussian noise of mean 0 and SD 1 whose correlation falls to 1/e over ``length`` mm."""
    # White noise smoothed with a Gaussian of width s has the correlation exp(-d² / 4 s²).
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, length / 2 / np.asarray(spacing), mode="wrap")
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)
