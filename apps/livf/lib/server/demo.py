"""``livf demo``: a server on a few images, and what an annotator's client does with it, step by step.

The client is MONAI Label's own, over HTTP, so that what is shown is what 3D Slicer meets.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from livf.lib.anatomy import TRAINED, Structure
from livf.lib.config import Config
from livf.lib.errors import InputError, LivfError
from livf.lib.evaluation.overlap import overlap
from livf.lib.images import is_readable_name, read_image, read_label, write_image
from livf.lib.server.child import running
from livf.lib.server.serve import log_file, stopping_on_sigterm
from livf.lib.storage import make_folder, writing
from livf.lib.synthesis.studies import StudyPaths
from livf.lib.values import Array, Volume

PHANTOM_SEEDS: Final = (1, 2, 3)
MODEL: Final = "livf_segmentation"
_LOG_LINES: Final = 12

Say = Callable[[str], None]


def demo(
    image: Path | None = None,
    *,
    folder: Path,
    config: Config,
    port: int = 0,
    once: bool = False,
    say: Say = print,
) -> None:
    """Make a study folder, start a server on it and run the client's whole cycle.

    Args:
        image: The reader's own MRI, of any kind livf reads; None for three phantoms.
        folder: Where the study folders of demos are made.
        config: Network, device and state folder of the server.
        port: Port of the server; 0 for a free one.
        once: Stop the server after the cycle; otherwise it stays up until Ctrl-C.
        say: Prints a line to the user.

    Raises:
        LivfError: A step failed; the end of the server's log was printed before.
    """
    with stopping_on_sigterm():
        studies = _phantoms(folder / "phantoms", say) if image is None else _own_image(image, folder, say)
        # Who may use the server is no matter of a demo; the rest of the environment the server reads itself.
        pairs = {key: value for key, value in config.pairs().items() if key in ("model", "device", "state")}
        options = [part for key, value in pairs.items() for part in (f"--{key}", value)]
        log = log_file(config.state_for(studies))
        say(f"Starting the server on {studies} ...")
        try:
            with running(studies, "--port", str(port), *options) as url:
                _cycle(url, studies, say)
                _how_to_connect(url, studies, say)
                if once:
                    return
                say("\nThe server stays up; Ctrl-C stops it.")
                _wait()
        except InputError:
            raise  # its line says all
        except LivfError:
            _tail(log)
            raise


def _phantoms(data: Path, say: Say) -> Path:
    """A data set of three phantoms; the server gets the folder of its images, the true labels lie beside that."""
    from livf.lib.synthesis.cohort import write_cohort

    say(f"Making three phantoms (synthetic lumbar MRI) in {data}; those of an earlier demo are kept.")
    report = write_cohort(data, PHANTOM_SEEDS)
    if report.failed:
        case, why = report.failed[0]
        raise LivfError(f"could not be made: {why}", case, "try another --folder")
    return data / "images"


def _own_image(image: Path, folder: Path, say: Say) -> Path:
    """A study folder with a copy of one image; a DICOM series becomes a NIfTI file."""
    volume = read_image(image)
    is_file = image.is_file() and is_readable_name(image)
    name = image.name if is_file else f"{image.resolve().name}.nii.gz"
    studies = folder / "own" / name.split(".")[0]
    make_folder(studies)
    target = studies / name
    if is_file:
        with writing(target) as temporary:
            shutil.copyfile(image, temporary)
    else:
        write_image(target, volume)
    say(f"Your image ({'x'.join(str(length) for length in volume.shape)} voxels) is copied to {target}.")
    return studies


def _cycle(url: str, studies: Path, say: Say) -> None:
    """Ask the server what it is, take an image, segment it, save the label, and read it back."""
    from monailabel.client import MONAILabelClient
    from monailabel.client.client import MONAILabelClientException

    with tempfile.TemporaryDirectory(prefix="livf-demo-") as received:
        client = MONAILabelClient(url, tmpdir=received, client_id="livf-demo")
        try:
            _talk(client, studies, say)
        except MONAILabelClientException as error:
            raise _refusal(error.msg) from error


def _talk(client: Any, studies: Path, say: Say) -> None:
    info = client.info()
    say(f"1. info:        {info['name']} {info['version']}; models {', '.join(info['models'])}; "
        f"structures {', '.join(info['labels'])}")  # fmt: skip
    objects = client.datastore()["objects"]
    say(f"2. datastore:   {len(objects)} images: {', '.join(sorted(objects))}")
    sample = client.next_sample("random", {})
    # An image with a final label is not drawn again. Demos never replace what was saved as final.
    name, tag = (sample["id"], "final") if sample else (min(objects), "demo")
    say(f"3. next sample: {name}" + ("" if sample else " (all images have final labels, which are left alone)"))
    started = time.monotonic()
    path, result = client.infer(MODEL, name, {"result_extension": ".nii.gz"})
    say(f"4. infer:       {time.monotonic() - started:.1f} s by {MODEL} {result['model']}; "
        f"level {result['level_status']}"
        + (f"; warnings {', '.join(result['warnings'])}" if result["warnings"] else ""))  # fmt: skip
    label, truth = read_label(path).array, _truth(studies, name)
    for structure in TRAINED:
        found = f"{structure.title:<12} {result['volumes_ml'][structure.name]:7.1f} ml"
        say(f"                  {found}{_agreement(label, truth, structure)}")
    if not result["label_names"]:
        say("5. save label:  left out: nothing was found in this image")
        return
    segments = [{"name": structure.name, "idx": structure.value} for structure in TRAINED]
    client.save_label(name, path, tag=tag, params={"label_info": segments})
    say(f"5. save label:  stored as {studies / 'labels' / tag / name}.nii.gz")
    _compare(read_label(path), read_label(client.download_label(name, tag)))
    say("6. read back:   the same, bit for bit")


def _truth(studies: Path, name: str) -> Array | None:
    path = StudyPaths.of(studies.parent, name).label
    return read_label(path).array if path.is_file() else None


def _agreement(label: Array, truth: Array | None, structure: Structure) -> str:
    """Dice coefficient with a phantom's truth; empty where there is no truth."""
    if truth is None:
        return ""
    return f"   DSC {overlap(label, truth, structure).dice:.3f}"


def _refusal(message: str) -> LivfError:
    """The server's own line out of the client's ``Status: 422; Response: {"detail": ...}``."""
    status, _, response = message.partition("; Response: ")
    try:
        return InputError(json.loads(response)["detail"])
    except (ValueError, KeyError, TypeError):
        return LivfError("the server failed at a step of the demo", status)


def _compare(sent: Volume, stored: Volume) -> None:
    different = f"{np.count_nonzero(sent.array != stored.array)} voxels" if sent.shape == stored.shape else "the shape"
    if sent.shape != stored.shape or (sent.array != stored.array).any():
        raise LivfError(f"the stored label is not the one that was sent: {different} differ")
    if (sent.affine != stored.affine).any():
        raise LivfError("the stored label is not the one that was sent: it lies elsewhere")


def _how_to_connect(url: str, studies: Path, say: Say) -> None:
    say(f"""
The server:  {url} (its requests: {url}/)
Images:      {studies.resolve()}
Labels:      {(studies / "labels").resolve()}
3D Slicer:   install the extension MONAILabel, open the module MONAI Label, enter {url}
             as the server, press the arrows beside it, then Next Sample; the label is made by itself.
             Correct it with Segment Editor and press Submit Label.
OHIF:        reads from a DICOMweb store only, which livf does not serve yet; use 3D Slicer.""")


def _tail(log: Path) -> None:
    if log.is_file():
        print(f"The end of the server's log, {log}:", file=sys.stderr)
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]:
            print(f"  {line}", file=sys.stderr)


def _wait() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
