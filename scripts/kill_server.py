"""Kill a server at random moments while clients save labels, and look for what was lost.

    python scripts/kill_server.py [--kills 100] [--clients 4] [--seed 0] [--server [--model DIR]]

Clients save labels of a few cases as fast as they can, several of one case at once, and note every one that was
acknowledged. The server is ended by SIGKILL at a random moment and started again on the same folder. After each kill:
every acknowledged label is among the kept versions, equal voxel by voxel; every kept label and every file that clients
see can be read; the server starts again. Without `--server` the killed process is the datastore alone, with a thread a
client, which shows many more moments a minute, those of its start too; with it, a whole `livf serve` that clients reach
over HTTP. A kill takes no power away: what the disk itself would lose is not tested here.

Prints a line a kill and a summary; exit status 1 if anything was lost, unreadable or did not start.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import LivfError
from livf.lib.export.document import label_hash
from livf.lib.images import read_label, write_image, write_label
from livf.lib.labels import LabelStore
from livf.lib.values import Volume

CASES = ("case 1", "case 2", "case 3")
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SHAPE = (40, 48, 36)
START_SECONDS = 300
#: How long the last server lives, s.
LAST_LIFE = 2.0


@dataclass
class Tally:
    """What happened.

    Attributes:
        acknowledged: SHA-256 (voxels and grid) of each acknowledged label, by case.
        ready: Seconds from each start to the first moment the server could save.
        half_written: Temporary files that the kills left, all of them removed at the next start.
        faults: What was lost, unreadable, or did not start.
    """

    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    ready: list[float] = field(default_factory=list)
    half_written: int = 0
    faults: list[str] = field(default_factory=list)


def a_label(rng: np.random.Generator) -> np.ndarray:
    """A label that no other is equal to."""
    label = np.zeros(SHAPE, np.uint8)
    label[5:15, 8:20, 5:20], label[5:15, 20:24, 5:20], label[5:15, 24:40, 5:20] = L4.value, DISC.value, L5.value
    label[16:20] = rng.choice([0, L4.value], label[16:20].shape)
    return label


def make_studies(studies: Path) -> None:
    array = np.random.default_rng(0).integers(0, 400, SHAPE).astype(np.int16)
    for case in CASES:
        write_image(studies / f"{case}.nii.gz", Volume(array, AFFINE))


def save_for_ever(studies: Path, clients: int, tell: int, seed: int) -> None:
    """The server's part without a server: in a process of its own, until it is killed."""
    from livf.lib.server.datastore import FolderDatastore

    started = time.monotonic()
    store = FolderDatastore(studies, studies / ".livf", watch=True)
    store.claim()
    os.write(tell, f"ready {time.monotonic() - started}\n".encode())

    def client(number: int) -> None:
        rng = np.random.default_rng((seed, number))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "label.nii.gz"
            while True:
                label, case = a_label(rng), CASES[int(rng.integers(len(CASES)))]
                write_label(path, label, AFFINE)
                store.save_label(case, str(path), "final", {"client_id": f"client {number}"})
                os.write(tell, f"saved {case}:{label_hash(label, AFFINE)}\n".encode())

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(tell, b"failed the clients ended by themselves\n")


def one_life_alone(studies: Path, clients: int, lasts: float, seed: int, tally: Tally) -> None:
    """Fork the datastore, which takes no time for importing, and kill it.

    Every fifth is killed ``lasts`` / 5 seconds after its start, ready or not, the others ``lasts`` seconds after they
    were ready: on a busy machine a life that is counted from its start may see no label.
    """
    listen, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(listen)
        try:
            save_for_ever(studies, clients, tell, seed)
        except BaseException as error:
            os.write(tell, f"failed {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(1)
    os.close(tell)
    early = seed % 5 == 4
    kill = threading.Timer(lasts / 5 if early else START_SECONDS, os.kill, (child, signal.SIGKILL))
    kill.start()
    with open(listen, encoding="utf-8") as said:
        lines = []
        for line in said:
            lines.append(line.rstrip("\n"))
            if line.startswith("ready") and not early:
                kill.cancel()
                kill = threading.Timer(lasts, os.kill, (child, signal.SIGKILL))
                kill.start()
    os.waitpid(child, 0)
    kill.cancel()
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "ready":
            tally.ready.append(float(rest))
        elif word == "saved":
            case, _, digest = rest.partition(":")
            tally.acknowledged.add((case, digest))
        else:
            tally.faults.append(f"the server failed: {line}")


def one_life_of_a_server(studies: Path, clients: int, lasts: float, seed: int, tally: Tally, model: str) -> None:
    """Start `livf serve`, let clients save over HTTP, and kill it ``lasts`` seconds after it was ready."""
    command = [
        sys.executable,
        "-m",
        "livf",
        "serve",
        str(studies),
        "--port",
        "0",
        *(["--model", model] if model else []),
    ]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        too_late = threading.Timer(START_SECONDS, process.kill)
        too_late.start()
        said: list[str] = []
        url = ""
        for line in process.stdout:
            said.append(line.strip())
            if line.startswith("ready: "):
                url = line.removeprefix("ready: ").strip()
                break
        too_late.cancel()
        if not url:
            tally.faults.append(f"the server did not start: {said[-1] if said else 'it said nothing'}")
            return
        tally.ready.append(time.monotonic() - started)
        stop, changing = threading.Event(), threading.Lock()

        def client(number: int) -> None:
            rng = np.random.default_rng((seed, number))
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "label.nii.gz"
                while not stop.is_set():
                    label, case = a_label(rng), CASES[int(rng.integers(len(CASES)))]
                    write_label(path, label, AFFINE)
                    if put_label(url, case, path.read_bytes(), f"client {number}"):
                        with changing:
                            tally.acknowledged.add((case, label_hash(label, AFFINE)))

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        time.sleep(lasts)
        process.kill()
        stop.set()
        for thread in threads:
            thread.join()


def put_label(url: str, case: str, content: bytes, client: str) -> bool:
    """Save a label as MONAI Label's clients do; whether it was acknowledged."""
    border = uuid.uuid4().hex
    parts = (
        f'--{border}\r\nContent-Disposition: form-data; name="params"\r\n\r\n{json.dumps({"client_id": client})}\r\n'
        f'--{border}\r\nContent-Disposition: form-data; name="label"; filename="label.nii.gz"\r\n\r\n'
    )
    request = urllib.request.Request(
        f"{url}/datastore/label?{urllib.parse.urlencode({'image': case, 'tag': 'final'})}",
        data=parts.encode() + content + f"\r\n--{border}--\r\n".encode(),
        headers={"Content-Type": f"multipart/form-data; boundary={border}"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bool(answer.status == 200 and answer.read())
    except (OSError, urllib.error.URLError, ValueError):
        return False


def look(studies: Path, checked: set[Path], tally: Tally) -> None:
    """Compare what is on the disk with what was acknowledged, right after a kill."""
    store = LabelStore(studies / ".livf" / "labels")
    tally.half_written += sum(1 for path in studies.rglob(".writing-*") if path.parent.name[:1] != ".")
    tally.faults += [f"{fault.entry.name}: {fault.what}" for fault in store.faults(thorough=True)]
    for case in CASES:
        versions = store.versions(case)
        kept = {(case, version.label.label_sha256) for version in versions}
        lost = {pair for pair in tally.acknowledged if pair[0] == case} - kept
        tally.faults += [f"{case}: an acknowledged label is lost" for _ in lost]
        for version in versions:
            if version.path not in checked:
                readable(version.path, version.label.label_sha256, tally)
                checked.add(version.path)
        shown = studies / "labels" / "final" / f"{case}.nii.gz"
        if shown.exists():
            readable(shown, None, tally)


def readable(path: Path, digest: str | None, tally: Tally) -> None:
    try:
        label = read_label(path)
    except LivfError as error:
        tally.faults.append(f"unreadable: {error.line}")
        return
    if digest is not None and label_hash(label.array, label.affine) != digest:
        tally.faults.append(f"{path.parent.name}: not the label that was saved")


def run(kills: int, clients: int, seed: int, studies: Path, life: Callable[[float, int, Tally], None]) -> Tally:
    """Live and die ``kills`` times on one folder, and start a last time."""
    make_studies(studies)
    rng, tally, checked = random.Random(seed), Tally(), set[Path]()
    for kill in range(kills):
        before = len(tally.acknowledged)
        lasts = rng.uniform(0.05, 2.5)
        life(lasts, kill, tally)
        look(studies, checked, tally)
        print(f"kill {kill + 1}: after {lasts:.2f} s, {len(tally.acknowledged) - before} labels acknowledged, "
              f"{len(tally.faults)} faults in all", flush=True)  # fmt: skip
    starts = len(tally.ready)
    life(LAST_LIFE, 5 * (kills + 1), tally)  # not one of the early kills, and labels of its own
    look(studies, checked, tally)
    if len(tally.ready) == starts:
        tally.faults.append("the server did not start again")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server", action="store_true", help="kill a whole server, not the datastore alone")
    parser.add_argument("--model", default="", help="weights for --server (default: the shipped ones)")
    arguments = parser.parse_args()

    def life(lasts: float, seed: int, tally: Tally) -> None:
        if arguments.server:
            one_life_of_a_server(studies, arguments.clients, lasts, seed, tally, arguments.model)
        else:
            one_life_alone(studies, arguments.clients, lasts, seed, tally)

    if not arguments.server:
        import livf.lib.server.datastore  # noqa: F401  # once, before the first fork
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        tally = run(arguments.kills, arguments.clients, arguments.seed, studies, life)
        kept = sum(len(LabelStore(studies / ".livf" / "labels").versions(case)) for case in CASES)
    for fault in tally.faults:
        print(f"FAULT: {fault}")
    ready = sorted(tally.ready) or [float("nan")]
    print(f"{arguments.kills} kills, {len(tally.acknowledged)} labels acknowledged, {kept} kept, "
          f"{tally.half_written} half-written files left and removed, {len(tally.faults)} faults; ready after "
          f"{ready[len(ready) // 2]:.2f} s (median), {ready[-1]:.2f} s (longest)")  # fmt: skip
    return 1 if tally.faults or not tally.acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
