"""Choosing and ordering slices, on frames made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.errors import InputError
from livf.lib.images.stacks import MIN_SLICES, Frame, arrange, choose

X, Y, Z = np.eye(3)


def frame(at: float, *, series: str = "1", row: np.ndarray = X, column: np.ndarray = Y, shift: float = 0.0,
          localiser: bool = False, title: str = "T2", **traits: str) -> Frame:  # fmt: skip
    position = at * np.cross(row, column) + shift * row + 5 * column
    return Frame(f"{at}.dcm", None, f"{series}.{at}", series, title, position, row, column, (0.8, 0.7), (10, 12),
                 localiser=localiser, traits=traits)  # fmt: skip


def stack(count: int = 12, step: float = 4.0, **options: object) -> list[Frame]:
    return [frame(k * step, **options) for k in range(count)]  # type: ignore[arg-type]


def test_order_is_by_position_and_the_affine_is_ras() -> None:
    frames, affine = arrange(stack()[::-1], "here")
    assert [f.position[2] for f in frames] == [4.0 * k for k in range(12)]
    # Columns 0.7 mm apart along LPS x, rows 0.8 mm along LPS y: both are turned in RAS.
    np.testing.assert_allclose(affine, [[-0.7, 0, 0, 0], [0, -0.8, 0, -5], [0, 0, 4, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("gone", "text"),
    [([5], "misses 1 slice between slices 5 and 6 of 11"), ([3, 4, 5], "misses 3 slices between slices 3 and 4 of 9")],
)
def test_a_gap_is_named(gone: list[int], text: str) -> None:
    with pytest.raises(InputError, match=text):
        arrange([f for k, f in enumerate(stack()) if k not in gone], "here")


def test_a_gap_among_three_slices_is_seen() -> None:
    with pytest.raises(InputError, match="misses 1 slice between slices 2 and 3 of 3"):
        arrange([frame(0), frame(4), frame(12)], "here")


def test_uneven_spacing() -> None:
    with pytest.raises(InputError, match="unevenly spaced"):
        arrange([frame(at) for at in (0, 4, 8, 13, 17)], "here")
    arrange([frame(at) for at in (0, 4.01, 8, 11.99, 16)], "here")


def test_a_curved_row_and_a_tilted_row() -> None:
    with pytest.raises(InputError, match="one straight row"):
        arrange([frame(4 * k, shift=0.1 * (k - 6) ** 2) for k in range(12)], "here")
    with pytest.raises(InputError, match="not orthogonal"):
        arrange([frame(4 * k, shift=1.0 * k) for k in range(12)], "here")
    _, affine = arrange([frame(4 * k, shift=0.02 * k) for k in range(12)], "here")
    np.testing.assert_allclose(affine[:3, 2], [-0.02, 0, 4])


def test_two_images_of_one_place() -> None:
    both = [frame(4 * k, **{"echo time": str(echo), "kind of image": "M"}) for k in range(12) for echo in (20, 80)]
    with pytest.raises(InputError, match="differ in echo time"):
        arrange(both, "here")
    with pytest.raises(InputError, match="share a position"):
        arrange([*stack(), frame(8)], "here")


def test_one_slice() -> None:
    with pytest.raises(InputError, match="single slice"):
        arrange([frame(0)], "here")


def test_the_only_large_series_is_chosen() -> None:
    localiser = [*stack(3, series="0"), *stack(3, series="0", row=Y, column=Z), *stack(4, series="0", row=X, column=Z)]
    long = stack(30, series="9", localiser=True)
    image = stack(11, series="5")
    assert choose([*localiser, *image, *long], "here") == image
    assert choose(stack(2), "here")[0].series == "1", "a single stack is taken whatever its size"


def test_two_large_series_are_listed() -> None:
    with pytest.raises(InputError) as error:
        choose([*stack(15, series="5", title="5: T2 sag", row=Y, column=Z), *stack(20, series="6", title="6: T2 ax")],
               "here")  # fmt: skip
    assert "holds 2 image series: 6: T2 ax (20 slices, axial), 5: T2 sag (15 slices, sagittal)" in error.value.line


def test_small_series_are_not_guessed() -> None:
    with pytest.raises(InputError, match="holds 2 image series"):
        choose([*stack(MIN_SLICES - 1), *stack(MIN_SLICES - 1, series="2")], "here")


def test_blocks_of_different_direction_in_one_series() -> None:
    tilted = np.array([0, np.cos(0.3), np.sin(0.3)])
    with pytest.raises(InputError, match="2 stacks of different direction"):
        choose([*stack(10), *stack(10, column=tilted)], "here")
