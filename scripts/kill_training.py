"""Kill a smoke training at random moments, let it go on, and compare it with one that nobody disturbed.

    python scripts/kill_training.py DATASET [--moments 10] [--seed 0]

Each trial starts `livf train --preset smoke` in a new folder, ends it by SIGKILL (the workers it started too) at a
random moment of its life, from its first second to its last, and runs the same command again. Equal means: the weights
bit for bit, and every loss and score of the log. Prints a line a trial; exit status 1 if any differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def start(dataset: Path, run: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "livf",
        "train",
        str(dataset),
        "-o",
        str(run),
        "--preset",
        "smoke",
        "--device",
        "cpu",
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def result(run: Path) -> tuple[str, list[dict[str, object]]]:
    """Hash of the weights, and the log without its times."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    weights = (run / "model" / "livf-unet.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest(), [
        {name: value for name, value in line.items() if name != "seconds"} for line in lines
    ]


def steps(run: Path) -> int:
    log = run / "log.jsonl"
    return log.read_text().count('"rate"') if log.exists() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        begun = time.monotonic()
        if start(arguments.dataset, whole).wait():
            print("the undisturbed training failed")
            return 1
        lasts = time.monotonic() - begun
        expected = result(whole)
        print(f"undisturbed: {lasts:.1f} s, {steps(whole)} steps, weights {expected[0][:12]}", flush=True)
        equal = 0
        for trial in range(arguments.moments):
            run = Path(folder) / f"run{trial}"
            moment = rng.uniform(0.0, lasts)
            process = start(arguments.dataset, run)
            time.sleep(moment)
            ended = process.poll() is not None
            if not ended:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            done = steps(run)
            again = start(arguments.dataset, run).wait()
            same = again == 0 and result(run) == expected
            equal += same
            when = "after its end" if ended else f"at {moment:.1f} s, {done} steps done"
            print(f"killed {when}: {'equal' if same else 'DIFFERENT'}", flush=True)
    print(f"{equal} of {arguments.moments} equal")
    return 0 if equal == arguments.moments else 1


if __name__ == "__main__":
    sys.exit(main())
