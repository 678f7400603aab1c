"""Time one warm case from file to file on the paper's grid, and show where the time goes.

    python scripts/bench.py                      a phantom on the paper's grid
    python scripts/bench.py --image IMAGE        your own
    python scripts/bench.py --json bench.json    also for machines

Shares of one run can be compared between machines and over time; seconds only on one quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: How the segmenter's own stages are called here.
NAMES = {"read": "read", "prepare": "preprocess", "network": "network", "restore": "postprocess", "write": "write"}
#: CPU features that decide how fast a network runs.
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16")


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
    parser.add_argument("--image", type=Path, help="image to segment (default: a phantom on the paper's grid)")
    parser.add_argument("--seed", type=int, default=1, help="of the phantom (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="warm runs (default: %(default)s)")
    parser.add_argument("--model", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--device", help="cpu, cuda, cuda:N or mps (default: a GPU if there is one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs needs at least 1")
    from livf.lib.errors import LivfError

    try:
        result = measure(arguments)
    except LivfError as error:
        print(f"bench: error: {error.line}", file=sys.stderr)
        return 1
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
