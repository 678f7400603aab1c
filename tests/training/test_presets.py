"""Presets: the default is the paper's recipe, and every value says whose choice it is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from livf.lib.errors import UsageError
from livf.lib.training.presets import DEFAULT, PRESETS, describe, flat, preset


def test_the_default_is_the_papers_recipe() -> None:
    config = preset(DEFAULT)
    assert config.name == "chen2022"
    chosen, grid = config.optimisation, config.preprocess
    assert (chosen.rate, chosen.curve, chosen.drops, chosen.divisor, chosen.batch) == (5e-4, "drops", (33, 66), 5, 2)
    assert (grid.spacing_mm, grid.box_shape, grid.normalisation) == (0.8, (128, 180, 180), "zscore")
    assert config.network.architecture == "unet3d"


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_is_printed_with_whose_choice_it_is(name: str) -> None:
    config = preset(name)
    lines = describe(config)
    assert len(lines) == len(flat(config)) - 1
    for line in lines:
        assert "[paper: " in line or "[ours" in line
    config.check()
    assert json.loads(json.dumps(config.to_json())) == config.to_json()


def test_what_the_paper_leaves_open_is_not_called_the_papers() -> None:
    whose = {line.split()[0]: line for line in describe(preset("chen2022"))}
    for ours in ("loss", "optimisation.epochs", "network.widths", "augmentation"):
        assert "[ours" in whose[ours]
    for papers in ("optimisation.rate", "optimisation.drops", "optimisation.batch", "preprocess.box_shape"):
        assert "[paper" in whose[papers]
    cpu = {line.split()[0]: line for line in describe(preset("cpu"))}
    assert "[ours; the paper: 2]" in cpu["optimisation.batch"]


def test_values_are_overridden_and_checked() -> None:
    changed = preset("smoke").changed({"epochs": 3, "batch": None, "precision": "bf16"})
    assert (changed.optimisation.epochs, changed.optimisation.batch, changed.precision) == (3, 2, "bf16")
    assert preset("smoke").optimisation.epochs != 3
    for wrong in ({"epochs": 0}, {"rate": 2.0}, {"precision": "int8"}, {"micro_batches": -1}):
        with pytest.raises(UsageError):
            preset("smoke").changed(wrong)
    with pytest.raises(UsageError, match="chen2022"):
        preset("chen2023")


def test_presets_and_splits_bring_no_torch() -> None:
    code = "import sys, livf.lib.training.presets, livf.lib.training.split; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
