"""Train the shipped weights on phantoms, coarse to fine, on two CPU cores or a GPU.

    python scripts/train_weights.py pool  -o runs/pool -n 300          makes the training phantoms, once
    python scripts/train_weights.py train -o runs/coarse --spacing 1.6 --widths 16,32,64,128 --minutes 30
    python scripts/train_weights.py train -o runs/fine --widths 8,16,32,64,128 --init runs/coarse --minutes 60
    python scripts/train_weights.py ship  runs/fine                    puts the best weights in apps/livf/model

The coarse network sees the whole box at 1.6 mm and learns which vertebra is which. The fine one is the same network
with one level more on top, at 0.8 mm: it starts from the coarse one's weights and learns the boundary. Every case is
varied anew each time (livf.lib.training.augmentation). A run resumes from its last checkpoint: run the same command
again. Nothing is pickled: checkpoints are safetensors and JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livf.lib.synthesis.phantom import GENERATOR_VERSION

#: Phantoms below this seed are never trained on; those from it upwards are.
FIRST_TRAINING_SEED = 1_000_000
#: Held out for choosing between checkpoints; tests and figures use small seeds.
VALIDATION_SEEDS = tuple(range(900_000, 900_006))
#: The pool keeps a margin around the box for turning and shifting, voxels of 0.8 mm.
MARGIN = 24
#: Where the paper's crop lies on its grid: W/4-20 to 3W/4 of 320 voxels is centred 8 mm behind the middle.
BOX_CENTRE_RAS = (0.0, -8.0, 0.0)
BOX = (128, 180, 180)


@dataclass(frozen=True)
class Settings:
    """One training run; kept in the run folder."""

    pool: str
    spacing: float
    widths: tuple[int, ...]
    crop: tuple[int, int, int]
    batch: int
    minutes: float
    rate: float
    seed: int
    init: str | None


def make_pool_case(folder: Path, seed: int) -> Path:
    """Make one training phantom on the box with its margin; axes (superior, right, anterior)."""
    from livf.lib.storage import writing
    from livf.lib.synthesis.phantom import Grid, make_phantom

    target = folder / f"{seed}.npz"
    if not target.exists():
        superior, right, anterior = (n + MARGIN for n in BOX)
        phantom = make_phantom(seed, grid=Grid((right, anterior, superior), centre=BOX_CENTRE_RAS))
        with writing(target) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                image=np.ascontiguousarray(phantom.image.array.transpose(2, 0, 1)),
                label=np.ascontiguousarray(phantom.label.transpose(2, 0, 1)),
                generator=np.asarray(GENERATOR_VERSION),
            )
    return target


def pool(arguments: argparse.Namespace) -> None:
    """Make the pool on all cores."""
    from tqdm import tqdm

    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = [*VALIDATION_SEEDS, *range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + arguments.number)]
    with ProcessPoolExecutor(arguments.workers) as executor:
        for _ in tqdm(executor.map(make_pool_case, [folder] * len(seeds), seeds), total=len(seeds), mininterval=10):
            pass


class Cases:
    """Training cases by number: case ``n`` is the same whenever the pool is the same."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        from livf.lib.training.augmentation import Augmentation

        rng = np.random.default_rng((self.settings.seed, number))
        files = sorted(Path(self.settings.pool).glob("[1-9]*.npz"))
        files = [file for file in files if int(file.stem) >= FIRST_TRAINING_SEED]
        return load_case(files[int(rng.integers(len(files)))], self.settings, rng, Augmentation())


class ValidationCases:
    """The held-out cases: image and label on the run's grid."""

    def __init__(self, settings: Settings, seeds: tuple[int, ...]) -> None:
        self.pairs = []
        for seed in seeds:
            file = Path(settings.pool) / f"{seed}.npz"
            image, target = load_case(file, settings, np.random.default_rng(seed), None)
            self.pairs.append((image, target.argmax(axis=0).astype(np.uint8)))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        return self.pairs[number]


def load_case(file: Path, settings: Settings, rng: np.random.Generator, augmentation: Any) -> tuple[Any, Any]:
    """Read a pool case and sample it at the run's spacing; a crop is placed at random when training."""
    import torch
    import torch.nn.functional as F

    from livf.lib.anatomy import CHANNELS
    from livf.lib.training.augmentation import augment

    with np.load(file, allow_pickle=False) as archive:
        image, label = archive["image"].astype(np.float32), archive["label"]
    factor = round(settings.spacing / 0.8)
    box = tuple(n // factor for n in BOX)
    if factor > 1:
        image = F.avg_pool3d(torch.from_numpy(image)[None], factor)[0].numpy()
    crop = box if augmentation is None else settings.crop
    room = [(b - c) / 2 for b, c in zip(box, crop, strict=True)]
    offset = tuple(float(rng.uniform(-r, r)) for r in room)
    return augment(
        image,
        label,
        channels=CHANNELS,
        spacing=settings.spacing,
        shape=crop,
        rng=rng,
        settings=augmentation,
        soft=factor > 1,
        offset=offset,
    )


def train(arguments: argparse.Namespace) -> None:
    """Train one network within a time budget."""
    run = Path(arguments.output)
    run.mkdir(parents=True, exist_ok=True)
    factor = round(arguments.spacing / 0.8)
    default_crop = tuple(n // factor for n in BOX) if factor > 1 else (96, 128, 128)
    settings = Settings(
        pool=arguments.pool,
        spacing=arguments.spacing,
        widths=tuple(int(w) for w in arguments.widths.split(",")),
        crop=tuple(int(c) for c in arguments.crop.split(",")) if arguments.crop else default_crop,
        batch=arguments.batch,
        minutes=arguments.minutes,
        rate=arguments.rate,
        seed=arguments.seed,
        init=arguments.init,
    )
    import torch

    from livf.lib.segmentation.network import UNet3D
    from livf.lib.segmentation.runtime import keep_memory
    from livf.lib.training import checkpoints
    from livf.lib.training.loop import Plan, fit, grow, loss_function
    from livf.lib.training.numerics import choose
    from livf.lib.training.presets import TrainingConfig
    from livf.lib.training.schedule import TimeSchedule

    (run / "settings.json").write_text(json.dumps(asdict(settings), indent=1))
    torch.manual_seed(settings.seed)
    network = UNet3D(settings.widths)
    if settings.init:
        taken = grow(network, checkpoints.load(Path(settings.init) / "best.safetensors").weights)
        print(f"took over {taken} tensors from {settings.init}", flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keep_memory()
    cases = Cases(settings)
    first = [cases[number] for number in range(settings.batch)]
    images, targets = (torch.stack([torch.from_numpy(pair[part]) for pair in first]) for part in (0, 1))
    numerics = choose(TrainingConfig("shipped"), network, images, targets, loss_function(), device)
    print(f"computing in {numerics.precision}, {numerics.layout}: {dict(numerics.measured)}", flush=True)
    plan = Plan(
        TimeSchedule(settings.minutes, settings.rate),
        # Endless: one micro-batch a step, its cases numbered on.
        lambda step: [range(step * settings.batch, (step + 1) * settings.batch)],
        check_every=arguments.check_every,
        average=arguments.average,
        save_every=120.0,
        workers=arguments.workers,
    )
    validation = ValidationCases(settings, VALIDATION_SEEDS[: arguments.checks])
    fit(network, cases, validation, run, plan, numerics=numerics, device=device)


def ship(arguments: argparse.Namespace) -> None:
    """Put a run's best weights, with what they are and were made from, into a model folder."""
    from livf.lib.segmentation.config import ModelConfig, NetworkConfig
    from livf.lib.segmentation.weights import save_model
    from livf.lib.training import checkpoints

    run = Path(arguments.run)
    best = checkpoints.load(run / "best.safetensors")
    settings = json.loads((run / "settings.json").read_text())
    config = ModelConfig(network=NetworkConfig(widths=tuple(settings["widths"])))
    metadata = {
        "training": describe(settings),
        "metrics": {"validation_dice": round(best.best, 4), "step": best.step},
        "licence": "Apache-2.0",
    }
    print(save_model(Path(arguments.output), best.weights, config, metadata))
    log = run / "log.jsonl"
    if log.exists():
        (Path(arguments.output) / "training-log.jsonl").write_bytes(log.read_bytes())


def describe(settings: dict[str, Any]) -> dict[str, Any]:
    """Say what the weights were made from: for the JSON beside them."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    pool_cases = [f for f in Path(settings["pool"]).glob("*.npz") if int(f.stem) >= FIRST_TRAINING_SEED]
    coarse = Path(settings["init"] or "", "settings.json")
    return {
        "settings": settings,
        "started_from": json.loads(coarse.read_text()) if settings["init"] and coarse.exists() else None,
        "phantom_generator": _generator_of(pool_cases[0]) if pool_cases else None,
        "training_seeds": [FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + len(pool_cases) - 1],
        "validation_seeds": [VALIDATION_SEEDS[0], VALIDATION_SEEDS[-1]],
        "commit": commit,
        "python": platform.python_version(),
    }


def _generator_of(case: Path) -> int:
    """Version of the generator that made a case of the pool; the first one did not write it."""
    with np.load(case, allow_pickle=False) as archive:
        return int(archive["generator"]) if "generator" in archive else 1


def main() -> None:
    """Parse and run one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("pool", help="make the training phantoms")
    step.add_argument("-o", "--output", default="runs/pool")
    step.add_argument("-n", "--number", type=int, default=300)
    step.add_argument("--workers", type=int, default=os.cpu_count())
    step.set_defaults(run_step=pool)
    step = steps.add_parser("train", help="train one network")
    step.add_argument("-o", "--output", required=True)
    step.add_argument("--pool", default="runs/pool")
    step.add_argument("--spacing", type=float, default=0.8)
    step.add_argument("--widths", default="8,16,32,64,128")
    step.add_argument("--crop", help="voxels S,R,A seen at a time (default: the box when coarse, 96,128,128 when fine)")
    step.add_argument("--batch", type=int, default=2)
    step.add_argument("--minutes", type=float, default=60)
    step.add_argument("--rate", type=float, default=2e-3)
    step.add_argument("--seed", type=int, default=0)
    step.add_argument("--workers", type=int, default=1, help="processes that prepare cases")
    step.add_argument("--checks", type=int, default=len(VALIDATION_SEEDS), help="validation cases to use")
    step.add_argument("--check-every", type=int, default=100, help="steps between validations")
    step.add_argument("--average", type=float, default=0.99, help="decay of the weights' moving average")
    step.add_argument("--init", help="run folder of a coarser network to start from")
    step.set_defaults(run_step=train)
    step = steps.add_parser("ship", help="put a run's weights into the model folder")
    step.add_argument("run")
    step.add_argument("-o", "--output", default="apps/livf/model")
    step.set_defaults(run_step=ship)
    arguments = parser.parse_args()
    arguments.run_step(arguments)


if __name__ == "__main__":
    main()
