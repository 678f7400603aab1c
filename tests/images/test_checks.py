"""The checks every format shares."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from livf.lib.errors import InputError, NotFoundError
from livf.lib.images import checks


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((), "empty"),
        ((0, 5, 5), "empty"),
        ((-3, 5, 5), "impossible"),
        ((5, 5), "single slice"),
        ((1, 5, 5), "single slice"),
        ((5, 5, 5, 2), "4 dimensions"),
        ((2**11, 2**11, 2**11), "at most"),
        ((2**31, 2**31, 4), "at most"),
    ],
)
def test_refused_shapes(shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        checks.image_shape(shape, "image")


@pytest.mark.parametrize("shape", [(2, 2, 2), (320, 320, 128, 1, 1), (512, 512, 10), (256, 256, 256)])
def test_shapes_of_every_plausible_scan_pass(shape: tuple[int, ...]) -> None:
    assert checks.image_shape(shape, "image") == shape[:3]


def test_parsing_keeps_our_errors_and_hides_the_libraries() -> None:
    with pytest.raises(NotFoundError), checks.parsing("image", "a test"):
        raise NotFoundError("gone")
    for error in (ValueError("x\ny"), RecursionError(), EOFError(), zlib.error(), KeyError("a")):
        with (
            pytest.raises(InputError, match="damaged, cut short or not a test") as caught,
            checks.parsing("i", "a test"),
        ):
            raise error
        assert "\n" not in caught.value.line
    with pytest.raises(InputError, match="memory"), checks.parsing("image", "a test"):
        raise MemoryError
    with pytest.raises(KeyboardInterrupt), checks.parsing("image", "a test"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress])
def test_deflated(compress: object, tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 9, 100_000).astype(np.uint8).tobytes()
    packed = b"header" + compress(content)  # type: ignore[operator]
    path = tmp_path / "stream"
    path.write_bytes(packed)
    checks.deflated(path, 6, len(content), "a test")
    for expected in (len(content) - 1, len(content) + 1, 10):
        with pytest.raises(InputError):
            checks.deflated(path, 6, expected, "a test")
    for changed in (packed[:-1], packed[:-5] + bytes(5), packed[:5000]):
        path.write_bytes(changed)
        with pytest.raises(InputError):
            checks.deflated(path, 6, len(content), "a test")


def test_a_bomb_is_not_unpacked_further_than_expected(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(zlib.compress(bytes(1 << 28), 9))
    with pytest.raises(InputError):
        checks.deflated(path, 0, 1000, "a test")
