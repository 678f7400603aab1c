"""Train the shipped weights on painted images: the localiser, and the network of the box around a disc.

    python scripts/prepare_columns.py ...                                        people and phantoms, once
    python scripts/make_shards.py COLUMNS SHARDS --pairs 1296 --scenes 320 --windows 1536     the images, once
    python scripts/train_weights.py localiser --shards SHARDS -o runs/localiser
    python scripts/train_weights.py pair      --shards SHARDS -o runs/pair
    python scripts/train_weights.py ship runs/localiser runs/pair                puts both in apps/livf/model

What is trained stands in scripts/weights.toml; a larger budget is a matter of its two numbers of steps. A run resumes
from its last checkpoint: run the same command again. Nothing is pickled: checkpoints are safetensors and JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from livf.lib import storage
from livf.lib.anatomy import KINDS, TRAINED
from livf.lib.errors import InputError, LivfError, UsageError
from livf.lib.segmentation.config import NetworkConfig
from livf.lib.synthesis.painting.shards import Purpose, shard_paths

#: Validation examples of a check.
CHECKS: dict[Purpose, int] = {"localiser": 24, "pair": 8}
NAMES: dict[Purpose, tuple[str, ...]] = {
    "localiser": tuple(kind.name for kind in KINDS),
    "pair": tuple(structure.name for structure in TRAINED),
}
OUTPUTS = {purpose: 1 + len(names) for purpose, names in NAMES.items()}


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Attributes:
        widths: Feature channels of each level.
        steps: Of the optimiser.
        batch: Examples a step.
        rate: Largest learning rate of Adam.
    """

    widths: tuple[int, ...]
    steps: int
    batch: int
    rate: float

    @property
    def network(self) -> NetworkConfig:
        """Its architecture."""
        return NetworkConfig("unet3d_cells", self.widths)


def read_recipe(path: Path, purpose: Purpose) -> Recipe:
    """Read one table of the configuration."""
    try:
        table = tomllib.loads(path.read_text())[purpose]
        recipe = Recipe(tuple(table.pop("widths")), **table)
        recipe.network.check()
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"is no configuration of the training: {error}", path, "see scripts/weights.toml") from error
    return recipe


def train(arguments: argparse.Namespace) -> None:
    """Train one network."""
    import torch

    from livf.lib.segmentation.network import build
    from livf.lib.segmentation.runtime import keep_memory
    from livf.lib.training.loop import Plan, Status, fit, loss_function
    from livf.lib.training.numerics import choose
    from livf.lib.training.painted import PaintedCases, PaintedChecks
    from livf.lib.training.presets import Optimisation, TrainingConfig
    from livf.lib.training.schedule import EpochSchedule

    purpose: Purpose = arguments.purpose
    recipe = read_recipe(arguments.config, purpose)
    run = Path(arguments.output)
    storage.make_folder(run)
    settings = run / "settings.json"
    # The last shard is for validation: other examples of the same people.
    *shown, checked = shard_paths(arguments.shards, purpose)
    if purpose == "pair":
        shown += shard_paths(arguments.shards, "phantom")
    if not shown:
        raise InputError("holds one shard only", arguments.shards, "make more: scripts/make_shards.py")
    document = {
        "purpose": purpose,
        "recipe": asdict(recipe) | {"widths": list(recipe.widths)},
        "examples": len(shown),
        "seed": arguments.seed,
    }
    if settings.exists() and json.loads(settings.read_text()) != document:
        raise UsageError("holds a run with other settings", run, "name another folder")
    storage.write_text(settings, json.dumps(document, indent=1))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    network = build(recipe.network, OUTPUTS[purpose])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keep_memory()
    cases = PaintedCases(shown, OUTPUTS[purpose], arguments.seed)
    first = [cases[number] for number in range(recipe.batch)]
    images, targets = (torch.stack([torch.from_numpy(pair[part]) for pair in first]) for part in (0, 1))
    numerics = choose(TrainingConfig("shipped"), network, images, targets, loss_function(), device)
    print(f"computing in {numerics.precision}, {numerics.layout}: {dict(numerics.measured)}", flush=True)
    plan = Plan(
        EpochSchedule(
            Optimisation(rate=recipe.rate, curve="cosine", drops=(), warm_up=0.01, epochs=1), steps=recipe.steps
        ),
        lambda step: [range(step * recipe.batch, (step + 1) * recipe.batch)],
        check_every=200,
        average=0.995,
        save_every=120.0,
        workers=arguments.workers,
    )

    def tell(status: Status) -> None:
        if status.step % 20 == 0:
            print(
                f"step {status.step} of {recipe.steps}, {status.seconds / status.step:.2f} s each, "
                f"loss {status.loss:.3f}, best {status.best:.4f}",
                flush=True,
            )

    fit(
        network, cases, PaintedChecks(checked, CHECKS[purpose]), run, plan,
        numerics=numerics, device=device, names=NAMES[purpose], tell=tell,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(required=True)
    for purpose in NAMES:
        step = steps.add_parser(purpose, help=f"train the network of the {purpose}")
        step.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
        step.add_argument("--shards", type=Path, required=True, help="what scripts/make_shards.py made")
        step.add_argument("--config", type=Path, default=Path(__file__).with_name("weights.toml"))
        step.add_argument("--seed", type=int, default=0)
        step.add_argument("--threads", type=int, default=0, help="of the CPU; 0: all")
        step.add_argument("--workers", type=int, default=1, help="processes that prepare cases")
        step.set_defaults(run_step=train, purpose=purpose)
    args = parser.parse_args(arguments)
    try:
        args.run_step(args)
    except LivfError as error:
        print(f"livf: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def provenance() -> dict[str, Any]:
    """What the weights were made with: for the JSON beside them."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {"commit": commit, "python": platform.python_version()}


if __name__ == "__main__":
    sys.exit(main())
