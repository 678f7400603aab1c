"""Stand-in for pydicom-seg, which MONAI Label imports at its start and which no longer installs.

pydicom-seg 0.4.1 needs numpy below 2 and an internal of pydicom 2. livf writes DICOM segmentations otherwise and never
calls it; whatever still does gets a clear error instead of a wrong file.
"""

from __future__ import annotations

from typing import NoReturn


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise RuntimeError(
        f"pydicom_seg.{name} was used, but livf installs only a stand-in for pydicom-seg; "
        "DICOM segmentations are not converted by MONAI Label here"
    )
