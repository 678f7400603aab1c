"""Results are written whole or not at all, with the geometry they were given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from livf.lib.errors import OutputError, UsageError
from livf.lib.images import (
    LABEL_SUFFIXES,
    check_target,
    read_image,
    write_image,
    write_label,
    write_probabilities,
)
from livf.lib.values import Volume


@pytest.fixture
def label(volume: Volume) -> np.ndarray:
    return (volume.array % 4).astype(np.uint8)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root on Linux")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_the_same_label_gives_the_same_bytes(suffix: str, label: np.ndarray, volume: Volume, tmp_path: Path) -> None:
    write_label(tmp_path / f"a{suffix}", label, volume.affine)
    time.sleep(1.1)  # a time stamp in a gzip header has steps of a second
    write_label(tmp_path / f"b{suffix}", label, volume.affine)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert names(tmp_path) == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_array_order_and_strides_do_not_matter(suffix: str, volume: Volume, tmp_path: Path) -> None:
    for array in (np.ascontiguousarray(volume.array), np.asfortranarray(volume.array), volume.array[::-1, :, ::-2]):
        write_image(tmp_path / f"a{suffix}", Volume(array, volume.affine))
        np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}").array, array)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", ">i2"])
def test_voxel_types_are_kept(suffix: str, dtype: str, volume: Volume, tmp_path: Path) -> None:
    array = (volume.array % 200).astype(dtype)
    write_image(tmp_path / f"a{suffix}", Volume(array, volume.affine))
    got = read_image(tmp_path / f"a{suffix}").array
    np.testing.assert_array_equal(got, array)
    assert got.dtype == ("float32" if dtype == "float64" else np.dtype(dtype).newbyteorder("="))


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_a_slightly_sheared_affine_comes_back(suffix: str, label: np.ndarray, volume: Volume, tmp_path: Path) -> None:
    sheared = volume.affine.copy()
    sheared[:3, 2] += 0.01 * sheared[:3, 0]
    write_label(tmp_path / f"a{suffix}", label, sheared)
    np.testing.assert_allclose(read_image(tmp_path / f"a{suffix}").affine, sheared, atol=1e-5)


def test_far_from_the_origin_nifti_keeps_a_hundredth_of_a_micrometre_for_each_millimetre(
    label: np.ndarray, volume: Volume, tmp_path: Path
) -> None:
    affine = volume.affine.copy()
    affine[:3, 3] = [1234.5678, -987.654321, 0.1]
    write_label(tmp_path / "a.nii.gz", label, affine)
    np.testing.assert_allclose(read_image(tmp_path / "a.nii.gz").affine, affine, atol=1e-4)


def test_probabilities_read_back_in_any_nifti_reader(volume: Volume, tmp_path: Path) -> None:
    values = np.random.default_rng(1).dirichlet(np.ones(4), volume.shape).transpose(3, 0, 1, 2).astype(np.float16)
    for name in ("a.nii.gz", "a.nii"):
        write_probabilities(tmp_path / name, values, volume.affine)
        image = nib.load(tmp_path / name)
        assert image.shape == (*volume.shape, 4)
        np.testing.assert_allclose(image.get_fdata(), values.transpose(1, 2, 3, 0), atol=1e-5)
        np.testing.assert_allclose(image.affine, volume.affine, atol=1e-5)
    with pytest.raises(UsageError, match="nii"):
        write_probabilities(tmp_path / "a.nrrd", values, volume.affine)


@pytest.mark.parametrize("name", ["label", "label.png", "label.mhd", "label.gz"])
def test_unknown_suffixes_are_wrong_usage(name: str, label: np.ndarray, volume: Volume, tmp_path: Path) -> None:
    for attempt in (
        lambda: check_target(tmp_path / name),
        lambda: write_label(tmp_path / name, label, volume.affine),
        lambda: write_image(tmp_path / name, volume),
    ):
        with pytest.raises(UsageError) as error:
            attempt()
        assert ".nii.gz" in error.value.line
    assert names(tmp_path) == []


def test_a_label_that_is_none_is_a_bug_of_the_caller(label: np.ndarray, volume: Volume, tmp_path: Path) -> None:
    for bad in (label.astype(np.float32), label.astype(np.int16) - 1, label.astype(np.int16) + 300):
        with pytest.raises(ValueError, match="whole numbers"):
            write_label(tmp_path / "a.nii.gz", bad, volume.affine)
    with pytest.raises(ValueError, match="3D"):
        write_label(tmp_path / "a.nii.gz", label[..., 0], volume.affine)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_unwritable_targets(suffix: str, label: np.ndarray, volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / f"folder{suffix}").mkdir()
    for target in (tmp_path / "missing" / f"a{suffix}", tmp_path / "file" / f"a{suffix}", tmp_path / f"folder{suffix}"):
        for attempt in (lambda t=target: check_target(t), lambda t=target: write_label(t, label, volume.affine)):
            with pytest.raises(OutputError) as error:
                attempt()
            assert str(target) in error.value.line
            assert "\n" not in error.value.line
    assert names(tmp_path) == ["file", f"folder{suffix}"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(label: np.ndarray, volume: Volume, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    for attempt in (
        lambda: check_target(tmp_path / "a.nii.gz"),
        lambda: write_label(tmp_path / "a.nii.gz", label, volume.affine),
    ):
        with pytest.raises(OutputError, match="permission denied"):
            attempt()
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_a_full_disk_leaves_the_old_file(suffix: str, volume: Volume, label: np.ndarray, small_disk: Path) -> None:
    target = small_disk / f"a{suffix}"
    write_label(target, label, volume.affine)
    old = target.read_bytes()
    noise = np.random.default_rng(2).integers(0, 256, (70, 70, 70)).astype(np.uint8)
    with pytest.raises(OutputError, match="no space left on the disk"):
        write_label(target, noise, volume.affine)
    assert target.read_bytes() == old
    assert names(small_disk) == [target.name]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process on Windows")
@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_ctrl_c_leaves_nothing_half_written(suffix: str, tmp_path: Path) -> None:
    """A real SIGINT to a process that writes, once its temporary file is there."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a runner in the background hands down "ignore"
        "import numpy as np\n"
        "from livf.lib.images import write_label\n"
        "noise = np.random.default_rng(0).integers(0, 256, (400, 400, 300)).astype(np.uint8)\n"
        "write_label(sys.argv[1], noise, np.eye(4))\n"
    )
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"old")
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while len(names(tmp_path)) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(0.05)  # into the compression, which takes a second or more
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0, "it ended before the signal reached it"
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == [target.name]
