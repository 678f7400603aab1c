"""Model card and data card of a training, as Markdown, from what its run folder holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from livf.lib.anatomy import TRAINED
from livf.lib.dataset import Case, Dataset
from livf.lib.training import log
from livf.lib.training.presets import TrainingConfig, describe
from livf.lib.training.run_folder import CONFIG, ENVIRONMENT, NUMERICS, SPLIT, read_json
from livf.lib.training.split import PARTS

#: Name of a model's card, beside its weights and in its run's folder.
MODEL_CARD: Final = "MODEL_CARD.md"
#: Name of the card of a run's data set.
DATA_CARD: Final = "DATA_CARD.md"

_RESEARCH: Final = "**Research use. Not a medical device.** No decision about a patient may rest on this network."


def data_card(dataset: Dataset, fingerprint: str, cases: Sequence[Case]) -> str:
    """What a data set holds, by what its folder says; nothing about a single patient."""
    groups = Counter(case.group or "not given" for case in cases)
    columns = sorted({name for case in cases for name in case.columns})
    rows = [
        ("folder", dataset.folder.name),
        ("cases", len(cases)),
        ("patients", len({case.patient for case in cases})),
        ("structures", ", ".join(structure.title for structure in TRAINED)),
        ("image formats", ", ".join(f"{name} {count}" for name, count in sorted(_formats(cases).items()))),
        ("further columns of cases.csv", ", ".join(columns) or "none"),
        ("fingerprint (SHA-256 of all images and labels)", f"`{fingerprint}`"),
    ]
    lines = ["# Data card", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]
    lines += ["| group | cases |", "|---|---|", *(f"| {name} | {count} |" for name, count in sorted(groups.items()))]
    lines += [
        "",
        "Not known from the files, to be added by whoever gives the data on: where and how it was scanned, who drew",
        "the labels and after which rules, consent and approval, licence.",
        "",
    ]
    return "\n".join(lines)


def model_card(run: Path, config: TrainingConfig, version: str) -> str:
    """What a network is, what it was made from and how well it did on its validation cases."""
    told, split, environment = (read_json(run / name) for name in (CONFIG, SPLIT, ENVIRONMENT))
    numerics = read_json(run / NUMERICS)
    lines = [f"# Model card: {version}", "", _RESEARCH, "", "## What it is", ""]
    lines += [
        f"A 3D U-Net (`{config.network.architecture}`, widths {', '.join(map(str, config.network.widths))}) that",
        f"segments {', '.join(structure.title for structure in TRAINED)} on lumbar MRI, on a box of "
        f"{' x '.join(map(str, config.preprocess.box_shape))} voxels of {config.preprocess.spacing_mm:g} mm",
        "(superior, right, anterior).",
        "",
        "## Intended use",
        "",
        "A first draft for an annotator who corrects it, on images like those it was trained on. Not for diagnosis.",
        "",
        "## Training data",
        "",
        f"The data card beside this one; fingerprint `{told['fingerprint']}`. Cases of each part (`split.json`):",
        ", ".join(f"{len(split[part])} {part}" for part in PARTS) + ". Patients do not straddle parts.",
        "",
        "## How it was trained",
        "",
        f"`livf train --preset {config.name}`, seed {told['seed']}, "
        + (f"from the weights {told['init']}." if told["init"] else "from random weights."),
        "",
        *(f"- {line}" for line in describe(config)),
        f"- computed in {numerics['precision']}, {numerics['layout']}, on {environment['device']}"
        f" ({environment['processor']})",
        f"- livf {environment['livf']}"
        + (f", commit {environment['commit']}" if environment["commit"] else "")
        + f", torch {environment['packages']['torch']}, monai {environment['packages']['monai']}",
        "",
        "## What was measured",
        "",
        *_measured(run),
        "",
        "On the network's grid; `livf evaluate` measures in the original image space. Nothing is known of other",
        "scanners, sequences and diseases than those of the training data.",
        "",
    ]
    return "\n".join(lines)


def best_check(run: Path) -> dict[str, Any] | None:
    """The validation whose weights were kept: the first of those with the best mean."""
    checks = [line for line in log.read(run) if "validation" in line]
    return max(checks, key=lambda line: sum(line["validation"])) if checks else None


def _measured(run: Path) -> list[str]:
    best = best_check(run)
    if best is None:
        return ["No case was kept for validation."]
    cells = " | ".join(f"{value:.3f}" for value in best["validation"])
    return [
        f"Validation Dice at step {best['step']}, whose weights these are:",
        "",
        f"| {' | '.join(structure.title for structure in TRAINED)} | worst |",
        "|---|---|---|---|",
        f"| {cells} | {best['worst']:.3f} |",
    ]


def _formats(cases: Sequence[Case]) -> Counter[str]:
    return Counter("DICOM" if case.image.is_dir() else "".join(case.image.suffixes[-2:]) for case in cases)
