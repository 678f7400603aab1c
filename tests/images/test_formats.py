"""Names of images: what a folder store lists is what can be read."""

import pytest

from livf.lib.images import IMAGE_SUFFIXES, is_readable_name, suffix_of


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.nii.gz", ".nii.gz"), ("A.NII", ".nii"), ("x.y.nrrd", ".nrrd"), ("c.MHA", ".mha"), ("d.gz", ".gz"), ("e", "")],
)
def test_suffix_of(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_image_suffix_is_listed_whatever_its_case(suffix: str) -> None:
    assert is_readable_name(f"studies/case{suffix}")
    assert is_readable_name(f"case{suffix.upper()}")


@pytest.mark.parametrize("name", [".writing-x-a.nii.gz", "a.png", "a.xml", "a.mhd", "a.raw", "nii.gz.txt", "a"])
def test_other_names_are_not_listed(name: str) -> None:
    assert not is_readable_name(name)
