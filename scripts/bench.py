"""Time one warm case from file to file on the paper's grid, and show where the time goes; or a measurement.

    python scripts/bench.py                      segment a phantom on the paper's grid
    python scripts/bench.py --image IMAGE        your own image
    python scripts/bench.py foramen              measure a phantom's label of 300 x 300 x 128 voxels
    python scripts/bench.py foramen --label LABEL
    python scripts/bench.py --json bench.json    also for machines

Shares and ratios of one run can be compared between machines and over time; seconds only on one quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: How the segmenter's own stages are called here.
NAMES = {"read": "read", "prepare": "preprocess", "network": "network", "restore": "postprocess", "write": "write"}
#: CPU features that decide how fast a network runs.
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16")
#: Voxels of the label that is measured, and what is timed of it.
LABEL_SHAPE = (300, 300, 128)
STEPS = {
    "engine": "engine, without standard deviations",
    "engine_sd": "engine, with them",
    "process": "livf measure, whole process",
    "outputs": "livf measure -o, whole process",
}


class Stopwatch:
    """Adds up the seconds of each stage it is told of."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "", 0.0

    def __call__(self, stage: str, share: float) -> None:
        """A stage begins (and the one before it ends)."""
        del share
        now = time.perf_counter()
        if self._stage in NAMES:
            name = NAMES[self._stage]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._stage, self._since = stage, now


def case(folder: Path, seed: int) -> Path:
    """A phantom on the paper's grid, with its largest number of slices, as a NIfTI file."""
    from livf.lib.images import write_image
    from livf.lib.synthesis.phantom import IN_PLANE, SLICES, Grid, make_phantom

    path = folder / f"phantom-{seed}.nii.gz"
    write_image(path, make_phantom(seed, grid=Grid((IN_PLANE, IN_PLANE, SLICES[1]))).image)
    return path


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": cores,
        "cpu_features": [feature for feature in FEATURES if feature in flags],
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the case ``runs`` times and keep the median run."""
    import torch

    from livf.lib.pipeline import segment_file
    from livf.lib.segmentation import Segmenter

    began = time.perf_counter()
    segmenter = Segmenter.load(arguments.model, device=arguments.device)
    loaded = time.perf_counter()
    segmenter.warm()
    warmed = time.perf_counter()
    runs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="livf-bench-") as name:
        folder = Path(name)
        image = arguments.image or case(folder, arguments.seed)
        for _ in range(arguments.runs):
            watch = Stopwatch()
            segment_file(image, folder / "label.nii.gz", segmenter, progress=watch)
            runs.append(watch.seconds)
    runs.sort(key=lambda seconds: sum(seconds.values()))
    return {
        **machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": segmenter.device,
        "model": segmenter.version,
        "load_s": loaded - began,
        "first_run_s": warmed - loaded,
        "totals_s": [sum(seconds.values()) for seconds in runs],
        "stages_s": runs[len(runs) // 2],
    }


def labelled(folder: Path, seed: int) -> Path:
    """A phantom's label as a NIfTI file."""
    from livf.lib.images import write_label
    from livf.lib.synthesis.phantom import Grid, make_phantom

    phantom = make_phantom(seed, grid=Grid(LABEL_SHAPE))
    path = folder / f"phantom-{seed}.nii.gz"
    write_label(path, phantom.label, phantom.affine)
    return path


def command(*arguments: str | Path) -> None:
    """Run ``livf`` in a process of its own, as a user does."""
    program = "import sys; from livf.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"livf {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")


def measure_foramina(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time the engine and the command on a label, in turns, ``runs`` times, and keep the medians.

    ``yardstick`` is a fixed piece of work of the same kind (a Gaussian and 200,000 samples of it) in the same run:
    multiples of it say whether the engine or only the machine has changed.
    """
    import numpy as np
    from scipy import ndimage

    from livf.lib.foramen import measure as engine
    from livf.lib.images import read_label

    noise = np.random.default_rng(0).random((100, 100, 100), dtype=np.float32)
    places = np.random.default_rng(1).random((3, 200_000)) * 99
    with tempfile.TemporaryDirectory(prefix="livf-bench-") as name:
        folder = Path(name)
        path = arguments.label or labelled(folder, arguments.seed)
        label = read_label(path)
        array = np.asarray(label.array)
        steps: dict[str, Callable[[], object]] = {
            "yardstick": lambda: ndimage.map_coordinates(ndimage.gaussian_filter(noise, 0.7), places, order=1),
            "engine": lambda: engine(array, label.affine, uncertainty=False),
            "engine_sd": lambda: engine(array, label.affine),
            "process": lambda: command("measure", path),
            "outputs": lambda: command("measure", path, "-o", folder / "results"),
        }
        seconds: dict[str, list[float]] = {step: [] for step in steps}
        for run in range(arguments.runs + 1):
            for step, work in steps.items():
                began = time.perf_counter()
                work()
                if run:  # the first run warms imports and the disk's cache
                    seconds[step].append(time.perf_counter() - began)
    median = {step: statistics.median(each) for step, each in seconds.items()}
    return {
        **machine(),
        "label": arguments.label.name if arguments.label else f"phantom {arguments.seed}",
        "shape": list(array.shape),
        "runs_s": seconds,
        "median_s": median,
        "meshes_and_pictures_s": median["outputs"] - median["process"],
        "yardsticks": {step: median[step] / median["yardstick"] for step in STEPS},
    }


def show_foramina(result: dict[str, Any]) -> None:
    """Print the medians and what they are multiples of."""
    print(f"{result['system']}, {result['cores']} cores ({' '.join(result['cpu_features'])})")
    print(f"{result['label']}, {' x '.join(map(str, result['shape']))} voxels")
    median, runs = result["median_s"], result["runs_s"]
    print(f"  {'':<38}{'median':>10}{'range':>16}{'engine = 1':>13}{'yardsticks':>13}")
    for step, title in STEPS.items():
        span = f"{min(runs[step]):.2f} to {max(runs[step]):.2f} s"
        share = median[step] / median["engine"]
        print(f"  {title:<38}{median[step]:8.2f} s{span:>16}{share:13.1f}{result['yardsticks'][step]:13.1f}")
    extra = result["meshes_and_pictures_s"]
    print(f"  {'meshes and pictures (the difference)':<38}{extra:8.2f} s{'':>16}{extra / median['engine']:13.1f}")
    print(f"  yardstick {1000 * median['yardstick']:.0f} ms (median of {len(runs['yardstick'])})")


def show(result: dict[str, Any]) -> None:
    """Print the shares of the whole."""
    print(f"{result['system']}, {result['cores']} cores ({' '.join(result['cpu_features'])}), "
          f"{result['threads']} threads, torch {result['torch']}")  # fmt: skip
    print(f"network {result['model']} on {result['device']}")
    print(f"load {result['load_s']:.1f} s, first run {result['first_run_s']:.1f} s; then warm:")
    total = sum(result["stages_s"].values())
    for name, seconds in result["stages_s"].items():
        print(f"  {name:<12}{seconds:8.2f} s  {100 * seconds / total:5.1f} %  {'#' * round(40 * seconds / total)}")
    low, high = min(result["totals_s"]), max(result["totals_s"])
    print(f"  {'whole':<12}{total:8.2f} s  100.0 %  (median of {len(result['totals_s'])}, {low:.2f} to {high:.2f} s)")


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("segment", "foramen"), default="segment", help="what is timed")
    parser.add_argument("--image", type=Path, help="image to segment (default: a phantom on the paper's grid)")
    parser.add_argument("--label", type=Path, help="foramen: label to measure (default: a phantom's)")
    parser.add_argument("--seed", type=int, default=1, help="of the phantom (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="warm runs (default: %(default)s)")
    parser.add_argument("--model", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--device", help="cpu, cuda, cuda:N or mps (default: a GPU if there is one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs needs at least 1")
    from livf.lib.errors import LivfError

    work, tell = (measure, show) if arguments.part == "segment" else (measure_foramina, show_foramina)
    try:
        result = work(arguments)
    except LivfError as error:
        print(f"bench: error: {error.line}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    tell(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
