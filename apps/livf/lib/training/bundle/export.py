"""Writing a network as a MONAI bundle that runs where livf is not installed.

Its weights are a state dictionary, and the network, for which MONAI has no class (its ``BasicUNet`` has five levels,
``align_corners`` and no cells), is Python source in the bundle's ``scripts``. TorchScript would need no source, but it
is deprecated in PyTorch, and an exported program is read only by versions near the one that wrote it; source and state
dictionary can also be trained on.
"""

from __future__ import annotations

import ast
import io
import json
import os
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from livf.lib import storage
from livf.lib.dataset.staging import staged
from livf.lib.errors import LivfError, ModelError, NotFoundError
from livf.lib.training.bundle import documents
from livf.lib.training.bundle.documents import About
from livf.lib.training.bundle.readme import readme
from livf.lib.training.cards import DATA_CARD, MODEL_CARD
from livf.lib.training.run_folder import CONFIG, MODEL

if TYPE_CHECKING:
    from livf.lib.segmentation.weights import Model

#: What a shipped version's name begins with; alone it is the one that this livf comes with.
_SHIPPED: Final = "livf-unet"
_RESAMPLE: Final = "from livf.lib.segmentation import resample"


def export_bundle(model: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Write a network as a MONAI bundle, whole or not at all.

    Args:
        model: Folder of weights or of a training's run, or the name of the shipped version.
        target: Folder of the bundle; new or empty.

    Returns:
        The folder.

    Raises:
        NotFoundError: There is no such model.
        ModelError: The weights are missing or damaged, or the training is not finished.
        OutputError: It cannot be written, or ``target`` holds something.
    """
    folder = find_model(model)
    with staged(target) as bundle:  # a target that cannot be used is told before torch is loaded
        from livf.lib.segmentation.weights import load_model

        loaded = load_model(folder)
        card = _card(folder, loaded.version)
        for part in ("configs", "docs", "models", "scripts"):
            (bundle / part).mkdir()
        about = _about(loaded)
        for name, document in (
            ("inference", documents.inference(loaded.config)),
            ("metadata", documents.describe(loaded.config, about)),
        ):
            text = json.dumps(document, indent=4, ensure_ascii=False, allow_nan=False) + "\n"
            storage.write_text(bundle / "configs" / f"{name}.json", text)
        storage.write_text(bundle / "configs" / "logging.conf", documents.LOGGING)
        _write_weights(loaded, bundle / documents.WEIGHTS)
        for name, source in sources().items():
            storage.write_text(bundle / "scripts" / f"{name}.py", source)
        page = readme(card, loaded.config.preprocess, documents.packages())
        storage.write_text(bundle / "docs" / "README.md", page)
        if folder.name == MODEL and (data_card := _read(folder.parent / DATA_CARD)):
            storage.write_text(bundle / "docs" / DATA_CARD, data_card)
        storage.write_text(bundle / "LICENSE", _licence())
    return Path(target)


def find_model(model: str | os.PathLike[str]) -> Path:
    """The folder of weights that a name or a path stands for.

    Raises:
        NotFoundError: There is neither a folder nor a version of this name.
        ModelError: The folder holds no weights, or a training that is not finished.
    """
    from livf.lib.segmentation.weights import JSON_NAME, SHIPPED, load_model

    folder = Path(model)
    if folder.is_dir():
        for place in (folder, folder / MODEL):
            if (place / JSON_NAME).is_file():
                return place
        if (folder / CONFIG).is_file():
            raise ModelError("holds a training that is not finished", folder, "let livf train go on to its end")
        remedy = "give the folder of a model or of a training's run"
        if any(folder.glob("fold_*")):
            remedy = "give one of its folds, such as fold_1"
        raise ModelError("holds no network weights", folder, remedy)
    if folder.exists():
        raise ModelError("is a file, not the folder of a model", folder, "give the folder that it lies in")
    name = os.fspath(model)
    if name.startswith(_SHIPPED):
        version = load_model(SHIPPED).version
        if name in (_SHIPPED, version):
            return SHIPPED
        raise NotFoundError("there is no such model", name, f"the version that livf comes with is {version}")
    raise NotFoundError(
        "there is no such model", name, f"give the folder of a model or of a training's run, or {_SHIPPED}"
    )


def sources() -> dict[str, str]:
    """The modules of a bundle's package ``scripts``, by name: those beside this one, the network and the resampling."""
    found = {name: _source("livf.lib.training.bundle.scripts", name) for name in ("__init__", "images", "transforms")}
    found["transforms"] = found["transforms"].replace(_RESAMPLE, "from scripts import resample")
    found["network"] = _without_livf(_source("livf.lib.segmentation", "network"))
    return {**found, "resample": _source("livf.lib.segmentation", "resample")}


def _source(package: str, name: str) -> str:
    return (resources.files(package) / f"{name}.py").read_text(encoding="utf-8")


def _without_livf(source: str) -> str:
    """A module without what it takes from livf: imports, and the functions that need them."""
    lines = source.splitlines(keepends=True)
    body = ast.parse(source).body
    ours = [node for node in body if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("livf")]
    names = {alias.asname or alias.name for node in ours for alias in node.names}
    dropped: list[ast.stmt] = [*ours]
    dropped += [
        node
        for node in body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))
    ]
    for node in dropped:
        for line in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[line] = ""
    return "".join(lines)


def _write_weights(model: Model, target: Path) -> None:
    import torch

    # Through memory: into a file, torch would write the file's temporary name.
    content = io.BytesIO()
    torch.save({name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}, content)
    storage.write_bytes(target, content.getvalue())


def _about(model: Model) -> About:
    """What the model's own JSON tells; what it does not is said to be unknown."""
    told: dict[str, Any] = dict(model.metadata)
    training = told.get("training")
    run = training.get("run") if isinstance(training, dict) else None
    if isinstance(run, dict) and "fingerprint" in run:
        source = f"a data set with the fingerprint (SHA-256) {run['fingerprint']}; see its data card"
    elif isinstance(training, dict) and "phantom_generator" in training:
        source = "synthetic lumbar MRI made by livf, no patient; see docs/README.md"
    else:
        source = "not known from the model; see docs/README.md"
    shipped = isinstance(told.get("licence"), str)
    metrics = told.get("metrics")
    return About(
        version=model.version,
        data_source=source,
        authors="The livf developers" if shipped else "not known from the model",
        licence=f"weights: {told['licence']}; code: Apache-2.0"
        if shipped
        else "weights: not known from the model; code: Apache-2.0",
        metrics=metrics if isinstance(metrics, dict) else {},
    )


def _card(folder: Path, version: str) -> str:
    missing = f"# Model card: {version}\n\nThe model came without a card: nothing is known of its training.\n"
    return _read(folder / MODEL_CARD) or missing


def _read(path: Path) -> str | None:
    """The text of a card; None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError("cannot be read", path, "mend it or take it away") from error


def _licence() -> str:
    """The licence of livf, from its checkout or from what was installed with it."""
    root = Path(__file__).resolve().parents[5]
    if (root / "pyproject.toml").is_file() and (root / "LICENSE").is_file():
        return (root / "LICENSE").read_text(encoding="utf-8")
    try:
        text = metadata.distribution("livf").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        raise LivfError("livf's licence is missing from what is installed", "LICENSE", "install livf again")
    return text
