"""Where the anatomy that the weights are trained from comes from, and whether the files at hand are the ones used here.

    python scripts/fetch_anatomy.py [FOLDER]

Checks every file of the table below in FOLDER against its SHA-256 and names what is missing or different, with its
source and licence. Nothing is downloaded: none of the files lies at an address as it is used here. They are cut from
larger public data sets, as each entry says; put them into FOLDER under these names. Works offline. The exit status is
0 when all are there and right.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from livf.lib.synthesis.columns.sources import SOURCES

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LIVF_TEST_DATA", ROOT.parent / "shared" / "data")) / "anatomy"


@dataclass(frozen=True)
class DataSet:
    """A public data set.

    Attributes:
        title: What it is called.
        prefix: Of the names of its files here.
        where: Where to get it.
        licence: Of the data.
        changed: How the files here differ from those there.
    """

    title: str
    prefix: str
    where: str
    licence: str
    changed: str


DATA_SETS = (
    DataSet(
        "VerSe, meshes of two people",
        "versep",
        "https://osf.io/nqjyw/ and https://osf.io/4skx2/ (see doi.org/10.1016/j.media.2021.102166)",
        "CC BY-SA 4.0",
        "surfaces of the vertebrae's masks, one binary STL file each, RAS mm, one frame a person",
    ),
    DataSet(
        "VerSe (Large Scale Vertebrae Segmentation Challenge)",
        "verse",
        "https://osf.io/nqjyw/ and https://osf.io/4skx2/ (see doi.org/10.1016/j.media.2021.102166)",
        "CC BY-SA 4.0",
        "cropped to the vertebrae; numbers as published (19 = T12, 20 = L1, ..., 24 = L5)",
    ),
    DataSet(
        "TotalSegmentator CT data set, version 2",
        "totalseg",
        "https://doi.org/10.5281/zenodo.10047292",
        "CC BY 4.0",
        "one person's masks put into one image and cropped: T12 to L5 as 19 to 24, sacrum 26, S1 27, hips 30 and 31",
    ),
    DataSet(
        "Remus et al., lumbosacral model of the Visible Human",
        "remus",
        "https://github.com/RemusR9/artisynth_lumbosacralSpineModel (doi.org/10.5281/zenodo.4453702)",
        "BSD-3-Clause",
        "L4 and L5 as binary STL files; the disc is the convex hull of its finite-element nodes",
    ),
)

#: SHA-256 of each file as used here.
CHECKSUMS = {
    "remus_L4.stl": "efa80a373e5182edb45e18a21d2ef36af1953559de1e067f75c17910d797ef30",
    "remus_L5.stl": "06b4821f8bce409ca14d6575e88b8a4d10423cd47fdd96933380f7967c2e577b",
    "remus_disc_L4-5.stl": "8371e8a4f18638fca335e467c65bbe3d7f28082a9b2435bac00b8fee35fdd7db",
    "totalseg_s0327_mask.nii.gz": "b395829afa667e2cdce939ec333eeb8d31a16b87c51ea6759ef775faa45def86",
    "totalseg_s0328_mask.nii.gz": "32cca69e8f630a0801e476039c3c90b72bcfd84da2a5d1e620696296750e7594",
    "totalseg_x_mask.nii.gz": "8186200b9f145afdaa5f5eec35ed0e71dc7fd9f184a44b52fee7d0e4cef66a81",
    "verse004_mask.nii.gz": "728d766984c7b23ecd0a1328c2e0978dcc0c207644ff6ffc6aadee58d6d2f769",
    "verse005_ct.nii.gz": "bf00ec04e2231e7c0cdc00da43ecece766252dd524bfa0907fd9c4c96bfb4984",
    "verse005_mask.nii.gz": "a6e9ae7e5fd1dcb8236a9cf9d52fc2fbc53948ca08eed256f0ec8441a75b1c24",
    "verse006_ct.nii.gz": "746127c530d06d77a37f5d9c4cf601ea5ddf2ca831e2a2853768d9e47defcd32",
    "verse006_mask.nii.gz": "df178ded88b15ec2c7b5eb59a59c1e319f0d5d5762f003d31ccaf7dd57b91236",
    "verse007_mask.nii.gz": "781a1339773304cb72c800c0b5d2e387f097f9daf0cded189bc5c395f1acbddd",
    "verse008_ct.nii.gz": "3af79d9c5da92914106c7254ae6306033dcfdbb1ad24b194a4bc1ce53bc46f9d",
    "verse008_mask.nii.gz": "526dc47fb7da636575251d66a2f5b185ac21365b13eba3a63f6400cd5ff4f261",
    "verse012_mask.nii.gz": "188d296060bfe38071b8b17ae6171359f4fedcf03d2d12674f39c8995cab750f",
    "versep001_L1.stl": "8cdde56664ba5617a7a5ee40c5dd6a07e0f70414a39fb906892b15a72b5f1e8c",
    "versep001_L2.stl": "def4d68302c4da63bed51b9e1d10b2c9adf4e0c7b4d9ed80f072a26543af5ab7",
    "versep001_L3.stl": "d52a5f058a103af72c702116e86b9a2d4f56348270d88ddc8249821cba63e174",
    "versep001_L4.stl": "be8f227e8315ee1aa5c9f227a5b4d8c42e78bf690bc252a822d4cd7e6d9e4346",
    "versep001_L5.stl": "3d1f35a7264ef1538d617565d69f78861c7540ea08c70f20f159db291d3458b6",
    "versep002_L1.stl": "f435e8d86d572d49b4c4b8318e6a109397ba7917607f77c5cb271b79a672f7c2",
    "versep002_L2.stl": "0513af3abbf3b54f26da3293398c9ad4ca0f846df6b63f186a4141df7a62960b",
    "versep002_L3.stl": "d02a252a042bacf0b7b08835010a111d495b9f8aa122073af547cfe34cfcda96",
    "versep002_L4.stl": "05721fb0852e1293ef69973325bcd127913a6d58d4bdb895b01906d8a175b954",
    "versep002_L5.stl": "cb8486ad94fd8f9189dd024623e45da5b3a19bd5a1ffd6f2643165dbe8e66df2",
}


def origin_of(name: str) -> DataSet:
    """The data set that a file is from."""
    return next(data_set for data_set in DATA_SETS if name.startswith(data_set.prefix))


def state_of(path: Path) -> str:
    """``ok``, ``missing``, ``different`` or why it cannot be read."""
    if not path.is_file():
        return "missing"
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return "ok" if found == CHECKSUMS[path.name] else "different"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DATA, help="of the files (default: %(default)s)")
    folder = parser.parse_args(arguments).folder
    states = {name: state_of(folder / name) for name in CHECKSUMS}
    for data_set in DATA_SETS:
        names = [name for name in states if origin_of(name) is data_set]
        bad = [name for name in names if states[name] != "ok"]
        print(f"{data_set.title}: {len(names) - len(bad)} of {len(names)} files right; {data_set.licence}")
        if bad:
            print(f"  get it from {data_set.where}")
            print(f"  as used here: {data_set.changed}")
        for name in bad:
            print(f"  {states[name]}: {folder / name}")
    held_out = ", ".join(source.name for source in SOURCES if source.held_out)
    print(f"Held out of training: {held_out}")
    return 0 if all(state == "ok" for state in states.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
