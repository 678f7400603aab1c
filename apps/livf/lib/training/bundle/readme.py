"""The page of a bundle: its model's card, and how it is run."""

from __future__ import annotations

from typing import Final

from livf.lib.anatomy import BACKGROUND, TRAINED
from livf.lib.segmentation.config import PreprocessConfig
from livf.lib.segmentation.preprocess import SMALLEST_FIELD_MM

_RUN: Final = "    python -m monai.bundle run --config_file configs/inference.json"


def readme(card: str, grid: PreprocessConfig, packages: str) -> str:
    """``docs/README.md`` of a bundle.

    Args:
        card: The model card, Markdown.
        grid: The network's grid.
        packages: What a bundle's environment needs.
    """
    values = [f"{BACKGROUND} background", *(f"{s.value} {s.title}" for s in TRAINED)]
    field = " x ".join(f"{size * grid.spacing_mm:.0f}" for size in grid.field_shape)
    smallest = " x ".join(f"{size:.0f}" for size in SMALLEST_FIELD_MM)
    lines = [
        card.rstrip(),
        "",
        "## As a MONAI bundle",
        "",
        f"    pip install {packages}",
        "    cd BUNDLE",
        f"{_RUN} --dataset_dir IMAGES --output_dir LABELS",
        f"{_RUN} --image scan.nii.gz --output_dir LABELS",
        f"{_RUN} --image \"['a.nii.gz', 'b.nii.gz']\" --output_dir LABELS",
        "",
        "In: NIfTI, any orientation and voxel size. Out: `NAME_label.nii.gz`, on the image's own grid:"
        f" {', '.join(values)}.",
        "",
        "| option | what |",
        "|---|---|",
        "| `dataset_dir` | folder of images; names that end in `_label` are passed over |",
        "| `image` | one path or a list, in place of the folder |",
        "| `output_dir` | where the labels go (default: `eval` in the bundle) |",
        '| `level_at` | a point in the L4-L5 disc, RAS mm, `"[R,A,S]"`; with one image |',
        "| `device` | `\"$torch.device('cpu')\"`; default: a GPU if there is one |",
        "",
        f"The L4-L5 disc is taken to lie in the middle of a field of view of at most {field} mm (superior, right,",
        "anterior). A larger one is refused unless `level_at` is given: `livf segment` searches it, a bundle does not.",
        f"One below {smallest} mm is refused too. What is refused is told before anything is computed.",
        "",
        "The label is that of `livf segment`, voxels at the boundary aside whose classes are equally probable: images",
        "are resampled, cropped, z-scored and padded alike, and the label is tidied alike. Where a label cannot be of",
        "L4 and L5, `livf segment` refuses the image; a bundle writes the label and logs a warning.",
        "",
        "The network is Python source in `scripts/network.py`, its weights a state dictionary in `models/model.pt`,",
        "which `torch.load` reads with `weights_only=True`.",
        "",
    ]
    return "\n".join(lines)
