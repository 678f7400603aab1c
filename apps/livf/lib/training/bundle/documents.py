"""The two JSON documents of a MONAI bundle: what its network is, and how an image goes through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Final

from livf.lib.anatomy import BACKGROUND, CHANNELS, L4, L5, TRAINED
from livf.lib.segmentation.config import ModelConfig, NetworkConfig
from livf.lib.segmentation.preprocess import SMALLEST_FIELD_MM
from livf.version import __version__

#: What is added to an image's name for its label, as livf's data sets have it.
POSTFIX: Final = "label"
#: The weights, from the bundle's folder.
WEIGHTS: Final = "models/model.pt"

#: ``configs/logging.conf``, which ``monai.bundle run`` looks for.
LOGGING: Final = """[loggers]
keys=root

[handlers]
keys=console

[formatters]
keys=plain

[logger_root]
level=INFO
handlers=console

[handler_console]
class=StreamHandler
level=INFO
formatter=plain
args=(sys.stderr,)

[formatter_plain]
format=%(asctime)s %(levelname)s %(message)s
"""

#: The schema of MONAI's model zoo.
_SCHEMA: Final = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
#: What a bundle needs, with the versions it was tested with: for what is not installed where it is made.
_TESTED: Final = {
    "monai": "1.6.1",
    "fire": "0.7.1",
    "nibabel": "5.4.2",
    "pytorch-ignite": "0.5.5",
    "scipy": "1.17.1",
}
#: Less bone than this is no vertebra, ml, as :mod:`livf.lib.pipeline` has it.
_LEAST_BONE_ML: Final = 5.0
#: Names of the two ends of each world axis; MONAI would guess them from the image's space.
_ENDS: Final = [["L", "R"], ["P", "A"], ["I", "S"]]


@dataclass(frozen=True)
class About:
    """What is told of a network beside what it computes.

    Attributes:
        version: Of the weights.
        data_source: What it was trained on.
        authors: Who made it.
        licence: Of the weights.
        metrics: What was measured, plain JSON values.
    """

    version: str
    data_source: str
    authors: str
    licence: str
    metrics: Mapping[str, Any]


def inference(config: ModelConfig) -> dict[str, Any]:
    """``configs/inference.json``: from a folder of NIfTI images to their labels, each in its image's own space."""
    grid = config.preprocess
    box = list(grid.box_shape)
    field = [size * grid.spacing_mm for size in grid.field_shape]
    return {
        "imports": ["$import torch", "$from scripts.images import list_images"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "image": None,
        "level_at": None,
        "output_dir": "$@bundle_root + '/eval'",
        "postfix": POSTFIX,
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "num_workers": 0,
        "network_def": network(config.network),
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "reader": "NibabelReader"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "SRA", "labels": _ENDS},
                {
                    "_target_": "scripts.transforms.ResampleToBoxd",
                    "keys": "image",
                    "resampler": {
                        "_target_": "scripts.transforms.ResampleToBox",
                        "spacing_mm": grid.spacing_mm,
                        "box_shape": box,
                        "crop": [asdict(span) for span in grid.crop],
                        "disc_offset_mm": list(grid.disc_offset_mm),
                        "level_at": "@level_at",
                    },
                },
                {"_target_": "NormalizeIntensityd", "keys": "image"},
                {
                    "_target_": "Padd",
                    "keys": "image",
                    "padder": {"_target_": "scripts.transforms.PadToBox", "box_shape": box},
                },
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$list_images(@dataset_dir, @image, @level_at, @postfix, "
            f"{field}, {[float(size) for size in SMALLEST_FIELD_MM]})",
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": "@num_workers",
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                    "device": "cpu",
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {
                    "_target_": "scripts.transforms.TidyLabeld",
                    "keys": "pred",
                    "values": [structure.value for structure in TRAINED],
                },
                {
                    "_target_": "scripts.transforms.WarnWithoutLeveld",
                    "keys": "pred",
                    "upper": L4.value,
                    "lower": L5.value,
                    "least_ml": _LEAST_BONE_ML,
                },
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "@postfix",
                    "output_dtype": "uint8",
                    "resample": False,
                    "separate_folder": False,
                },
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": f"$@bundle_root + '/{WEIGHTS}'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }


def network(config: NetworkConfig) -> dict[str, Any]:
    """The network of a configuration, as a bundle's component."""
    return {
        "_target_": "scripts.network.UNet3D",
        "widths": list(config.widths),
        "in_channels": 1,
        "out_channels": CHANNELS,
        "cell": config.cell,
    }


def describe(config: ModelConfig, about: About) -> dict[str, Any]:
    """``configs/metadata.json``, with the keys of MONAI's schema."""
    import numpy
    import torch

    titles = [structure.title for structure in TRAINED]
    shape = list(config.preprocess.box_shape)
    values = {structure.value: structure.name for structure in TRAINED}
    classes = {"0": "background", **{str(at): structure.name for at, structure in enumerate(TRAINED, start=1)}}
    return {
        "schema": _SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"{about.version}, exported by livf {__version__}"},
        "monai_version": _version("monai"),
        "pytorch_version": str(torch.__version__).partition("+")[0],
        "numpy_version": str(numpy.__version__),
        "required_packages_version": {name: _version(name) for name in _TESTED if name != "monai"},
        "name": about.version,
        "task": "Segmentation of the L4-L5 level on lumbar MRI",
        "description": f"A 3D U-Net that segments {', '.join(titles)} on lumbar MRI, in a box of "
        f"{' x '.join(map(str, shape))} voxels of {config.preprocess.spacing_mm:g} mm (superior, right, anterior).",
        "authors": about.authors,
        "copyright": about.licence,
        "data_source": about.data_source,
        "data_type": "nibabel",
        "image_classes": "single channel of MRI, z-scored over the part of the box that the image covers",
        "label_classes": f"single channel, {BACKGROUND} background, "
        + ", ".join(f"{value} {name}" for value, name in values.items()),
        "pred_classes": f"{CHANNELS} channels: background, {', '.join(values.values())}",
        "eval_metrics": dict(about.metrics),
        "intended_use": "Research use, not a medical device: a first draft for an annotator who corrects it.",
        "references": [
            "Chen T. et al. (2022). Automated Magnetic Resonance Image Segmentation of Spinal Structures at the L4-5 "
            "Level with Deep Learning: 3D Reconstruction of Lumbar Intervertebral Foramen. Orthopaedic Surgery.",
            "Çiçek Ö. et al. (2016). 3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation. MICCAI.",
        ],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "MR",
                    "num_channels": 1,
                    "spatial_shape": shape,
                    "dtype": "float32",
                    # Of a z-score: what lies beyond is rare, and not clipped.
                    "value_range": [-10, 10],
                    "is_patch_data": False,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": CHANNELS,
                    "spatial_shape": shape,
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": classes,
                }
            },
            "post_processed_outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": 1,
                    "spatial_shape": ["*", "*", "*"],
                    "dtype": "uint8",
                    "value_range": [BACKGROUND, max(values)],
                    "is_patch_data": False,
                    "channel_def": {"0": "label"},
                }
            },
        },
    }


def packages() -> str:
    """What a bundle's environment needs, as pip takes it, with the versions it was tested with."""
    import torch

    torch_version = str(torch.__version__).partition("+")[0]
    return " ".join([f"torch=={torch_version}", *(f"{name}=={_version(name)}" for name in _TESTED)])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _TESTED[package]
