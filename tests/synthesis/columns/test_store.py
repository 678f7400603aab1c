"""A column comes back from its file as it went in, and a bad file is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livf.lib.errors import InputError, NotFoundError
from livf.lib.synthesis.columns.build import Bones, assemble
from livf.lib.synthesis.columns.column import Column, Kind, Part
from livf.lib.synthesis.columns.sources import SAC, Source
from livf.lib.synthesis.columns.store import fingerprint, load_column, made_from, save_column


@pytest.fixture(scope="module")
def column(two: Bones) -> Column:
    return assemble(Source("someone", "made of solids"), two)


def test_a_column_of_two_vertebrae_is_whole(column: Column) -> None:
    names = [part.name for part in column.parts]
    assert names == ["L4", "L4-L5", "L5", SAC]
    assert column.pairs() == (("L4", "L4-L5", "L5"),)
    assert [part.body is not None for part in column.parts] == [True, False, True, False]
    boxes = [np.array(part.start) + part.distance.shape for part in column.parts if part.kind is Kind.VERTEBRA]
    assert all((stop <= np.array(column.shape) + 12).all() for stop in boxes)
    assert column.surround is not None and column.surround.dtype == np.uint8


def test_round_trip(column: Column, tmp_path: Path) -> None:
    save_column(tmp_path / "one.npz", column, "abc")
    back = load_column(tmp_path / "one.npz")
    assert (back.name, back.source, back.shape) == (column.name, column.source, column.shape)
    for one, two in zip(column.parts, back.parts, strict=True):
        assert (one.name, one.kind, one.start, one.whole) == (two.name, two.kind, two.start, two.whole)
        assert one.distance.dtype == two.distance.dtype == np.float16
        assert np.array_equal(one.distance, two.distance)
        assert (one.body is None) == (two.body is None)
        assert one.body is None or np.array_equal(one.body, two.body)
    for key in ("affine", "canal", "surround", "surround_affine"):
        assert np.array_equal(getattr(column, key), getattr(back, key))
    assert made_from(tmp_path / "one.npz") == "abc"
    assert [file.name for file in tmp_path.iterdir()] == ["one.npz"]


def test_a_column_without_surroundings_comes_back_without(tmp_path: Path) -> None:
    part = Part("L1", Kind.VERTEBRA, np.zeros((2, 2, 2), dtype=np.float16), (0, 0, 0), whole=False)
    save_column(tmp_path / "bare.npz", Column("x", "", (2, 2, 2), np.eye(4), (part,), np.zeros((0, 3))))
    back = load_column(tmp_path / "bare.npz")
    assert back.surround is None and back.surround_affine is None and not back.parts[0].whole


def test_bad_files_are_named(column: Column, tmp_path: Path) -> None:
    save_column(tmp_path / "one.npz", column)
    whole = (tmp_path / "one.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name in ("cut", "text", "other"):
        with pytest.raises(InputError, match=f"{name}.npz"):
            load_column(tmp_path / f"{name}.npz")
        assert made_from(tmp_path / f"{name}.npz") is None
    with pytest.raises(NotFoundError):
        load_column(tmp_path / "none.npz")


def test_the_fingerprint_follows_contents_and_names(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1"), b.write_bytes(b"2")
    first = fingerprint([a, b])
    assert fingerprint([b, a]) == first
    a.write_bytes(b"3")
    assert fingerprint([a, b]) != first
    with pytest.raises(NotFoundError, match="none"):
        fingerprint([tmp_path / "none"])
