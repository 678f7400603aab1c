"""Examples painted beforehand, in files: the only module of this room that knows a file.

A folder holds ``people/NAME.npz`` (columns, completed by :mod:`livf.lib.synthesis.columns.graft`) and
``pair/00000.npz``, ``localiser/00000.npz`` and so on. ``phantom/`` holds boxes like a pair's that show the phantoms of
:mod:`livf.lib.synthesis.phantom` as they are, whose truth is exact. A shard is whole or not there, depends on nothing
but the seed, its number and the people, and tells what it was made from: what is there and still right is kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import LUMBAR_UPWARDS
from livf.lib.errors import InputError, NotFoundError
from livf.lib.storage import make_folder, writing
from livf.lib.synthesis.columns.column import Column, Kind
from livf.lib.synthesis.columns.graft import graft
from livf.lib.synthesis.columns.store import load_column, made_from, save_column
from livf.lib.synthesis.painting.plan import LOCALISER, PAIR, PAIR_DISC_MM, draw_plan
from livf.lib.synthesis.painting.sample import paint
from livf.lib.synthesis.painting.subject import Subject, prepare_subject
from livf.lib.synthesis.phantom import GENERATOR_VERSION, Grid, make_phantom

Purpose = Literal["pair", "localiser", "phantom"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
_Example = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], str, str]
#: Changes whenever the same seed gives other examples.
FORMAT: Final = "livf.shard/1"
#: Examples in a shard: about the same size on the disk for both.
EXAMPLES: Final[dict[Purpose, int]] = {"pair": 16, "localiser": 64, "phantom": 16}
#: Phantoms from this seed on are for training; cohorts and tests use smaller ones.
FIRST_PHANTOM: Final = 1_000_000
#: Middle of the box in a phantom's space: its L4-L5 disc lies 6 mm in front of the origin, give or take 4 mm.
_PHANTOM_MIDDLE: Final = (0.0, 6.0 - PAIR_DISC_MM[1], 0.0)
#: People that one shard shows: they are kept in memory while it is painted.
_PEOPLE_A_SHARD: Final = 6
#: Vertebrae borrowed above a column that does not reach the thorax.
_BORROWED_ABOVE: Final = 2
_REMEDY: Final = "make it again: scripts/make_shards.py"
_PEOPLE: Final = "people"


@dataclass(frozen=True, eq=False)
class Shard:
    """Some examples.

    Attributes:
        images: int16 ``(N, X, Y, Z)``, right, anterior, superior; 0 outside the field of view.
        labels: uint8 of the same shape: kinds of tissue for the localiser, the anatomy table's for a pair.
        people: Whose column each example shows.
        levels: The disc each pair is centred on; empty text for the localiser.
        spacing: Edge of a voxel, mm.
    """

    images: npt.NDArray[np.int16]
    labels: npt.NDArray[np.uint8]
    people: tuple[str, ...]
    levels: tuple[str, ...]
    spacing: float


@dataclass(frozen=True)
class Task:
    """One shard to be made.

    Attributes:
        folder: Of the data set.
        purpose: Kind of example.
        number: Of the shard.
        seed: Of the data set.
        people: Names of the columns to draw from.
        made_from: Fingerprint of the columns.
        examples: How many.
    """

    folder: Path
    purpose: Purpose
    number: int
    seed: int
    people: tuple[str, ...]
    made_from: str
    examples: int

    @property
    def path(self) -> Path:
        """Where it lies."""
        return shard_path(self.folder, self.purpose, self.number)

    def head(self) -> dict[str, Any]:
        """What it is made from: a shard with another head is made anew."""
        return {
            "format": FORMAT,
            "purpose": self.purpose,
            "number": self.number,
            "seed": self.seed,
            "examples": self.examples,
            "made_from": self.made_from,
        }


def shard_path(folder: str | os.PathLike[str], purpose: Purpose, number: int) -> Path:
    """Path of a shard."""
    return Path(folder) / purpose / f"{number:05d}.npz"


def complete_people(columns: Sequence[Column], donors: Sequence[Column], folder: str | os.PathLike[str]) -> list[str]:
    """Write columns, completed by each donor, to the data set's folder; what was made from the same ones is kept.

    Args:
        columns: To paint from.
        donors: Columns with a sacrum that reach the thorax, to complete those without either.
        folder: Of the data set.

    Returns:
        Names of the completed columns: ``NAME`` or ``NAME+DONOR``.

    Raises:
        OutputError: The folder cannot be written to.
    """
    target = Path(folder) / _PEOPLE
    make_folder(target)
    names = []
    for column in columns:
        top = next(p.name for p in column.parts if p.kind is Kind.VERTEBRA)
        lacking = top in LUMBAR_UPWARDS or not any(p.kind is Kind.SACRUM for p in column.parts)
        lenders: list[Column | None] = [d for d in donors if lacking and d.name != column.name]
        for donor in lenders or [None]:
            name = column.name if donor is None else f"{column.name}+{donor.name}"
            path = target / f"{name}.npz"
            wanted = _digest(column, donor)
            if made_from(path) != wanted:
                full = column
                if donor is not None:
                    full = graft(graft(column, donor, "below"), donor, "above", _BORROWED_ABOVE)
                save_column(path, full, wanted)
            names.append(name)
    return names


def plan_shards(
    folder: str | os.PathLike[str],
    purpose: Purpose,
    count: int,
    people: Sequence[str],
    *,
    seed: int = 0,
    examples: int | None = None,
) -> list[Task]:
    """The shards that ``count`` examples (rounded up to whole shards) need.

    Raises:
        NotFoundError: A column is missing.
        InputError: There is nobody to paint.
    """
    if purpose == "phantom":
        people, fingerprint = (), f"generator {GENERATOR_VERSION}"
    elif not people:
        raise InputError(
            "there is nobody to paint", folder, "prepare people's columns first: scripts/prepare_columns.py"
        )
    else:
        fingerprint = _fingerprint([Path(folder) / _PEOPLE / f"{name}.npz" for name in people])
    size = EXAMPLES[purpose] if examples is None else examples
    return [
        Task(Path(folder), purpose, number, seed, tuple(people), fingerprint, size)
        for number in range(-(-count // size))
    ]


def make_shards(tasks: Sequence[Task], workers: int = 1, done: Callable[[Task, bool], None] | None = None) -> None:
    """Make the shards that are not there yet.

    Args:
        tasks: From :func:`plan_shards`.
        workers: Processes; 1 paints in this one.
        done: Called after each shard with whether it was made.

    Raises:
        OutputError: A shard cannot be written.
        NotFoundError: A column is missing.
        InputError: A column is damaged.
    """
    for purpose in {task.purpose for task in tasks}:
        for folder in {task.folder for task in tasks}:
            make_folder(folder / purpose)
    missing = []
    for task in tasks:
        if _head(task.path) == task.head():
            if done is not None:
                done(task, False)
        else:
            missing.append(task)
    if workers <= 1:
        for task in missing:
            make_shard(task)
            if done is not None:
                done(task, True)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(make_shard, task): task for task in missing}
        try:
            for future in as_completed(futures):
                future.result()
                if done is not None:
                    done(futures[future], True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def make_shard(task: Task) -> None:
    """Paint and write one shard."""
    window = LOCALISER if task.purpose == "localiser" else PAIR
    shape = (task.examples, *window.shape)
    images, labels = np.zeros(shape, dtype=np.int16), np.zeros(shape, dtype=np.uint8)
    whom, levels = [], []
    for place, (image, label, name, level) in enumerate(
        _phantoms(task) if task.purpose == "phantom" else _painted(task)
    ):
        images[place], labels[place] = image, label
        whom.append(name)
        levels.append(level)
    head = task.head() | {"people": whom, "levels": levels, "spacing": window.spacing}
    # The high bytes of a noisy image compress well, the low ones not at all: apart they take a third less.
    planes = images.astype("<i2").view(np.uint8).reshape(*shape, 2)
    _write(task.path, head, {"low": planes[..., 0], "high": planes[..., 1], "labels": labels})


def _painted(task: Task) -> Iterator[_Example]:
    """Image, label, whom it shows and which level, of each example of a shard that shows columns."""
    source = np.random.SeedSequence([task.seed, PURPOSES.index(task.purpose), task.number])
    streams = source.spawn(task.examples + 1)
    rng = np.random.default_rng(streams[0])
    cast: list[Subject] = []
    for name in (task.people[i] for i in rng.permutation(len(task.people))):
        subject = _subject(task.folder / _PEOPLE / f"{name}.npz")
        if task.purpose != "pair" or subject.pairs:
            cast.append(subject)
        if len(cast) == _PEOPLE_A_SHARD:
            break
    if not cast:
        raise InputError("no column has two whole neighbours", task.folder / _PEOPLE, "add people")
    for place in range(task.examples):
        rng = np.random.default_rng(streams[place + 1])
        subject = cast[place % len(cast)]
        sample = paint(subject, draw_plan(rng, pair=task.purpose == "pair"), rng)
        image, label = sample.pair_example() if task.purpose == "pair" else sample.localiser_example()
        yield image, label, subject.name, sample.centred[1] if sample.centred else ""


def _phantoms(task: Task) -> Iterator[_Example]:
    """The same of a shard that shows phantoms."""
    first = FIRST_PHANTOM + 10_000 * task.seed + task.number * task.examples
    for seed in range(first, first + task.examples):
        phantom = make_phantom(seed, grid=Grid(PAIR.shape, PAIR.spacing, _PHANTOM_MIDDLE))
        # 0 means outside the field of view, and all of the box lies inside.
        yield np.maximum(phantom.image.array, 1).astype(np.int16), phantom.label, f"phantom {seed}", "L4-L5"


def read_shard(path: str | os.PathLike[str]) -> Shard:
    """Read a shard.

    Raises:
        NotFoundError: There is no such file.
        InputError: It is not a shard, or is damaged or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            head = json.loads(archive["head"].tobytes())
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise InputError(f"is not of this version ({FORMAT})", path, _REMEDY)
            return Shard(
                images=np.stack([archive["low"], archive["high"]], axis=-1).view("<i2")[..., 0].astype(np.int16),
                labels=archive["labels"],
                people=tuple(str(name) for name in head["people"]),
                levels=tuple(str(name) for name in head["levels"]),
                spacing=float(head["spacing"]),
            )
    except FileNotFoundError as error:
        raise NotFoundError("there is no such file", path, _REMEDY) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError("is not a shard of examples, or is damaged", path, _REMEDY) from error


def count_examples(path: str | os.PathLike[str]) -> int:
    """How many examples a shard holds, without reading them.

    Raises:
        InputError: It is not a shard of this version, or is damaged.
    """
    head = _head(Path(path))
    if head is None or head["format"] != FORMAT:
        raise InputError(f"is not a shard of this version ({FORMAT}), or is damaged", path, _REMEDY)
    return int(head["examples"])


def shard_paths(folder: str | os.PathLike[str], purpose: Purpose) -> list[Path]:
    """All shards of a data set, in order.

    Raises:
        NotFoundError: There are none.
    """
    paths = sorted(path for path in (Path(folder) / purpose).glob("*.npz") if not path.name.startswith("."))
    if not paths:
        raise NotFoundError(f"holds no shard for the {purpose}", folder, _REMEDY)
    return paths


def examples(
    folder: str | os.PathLike[str], purpose: Purpose, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]]:
    """Image and label of every example of a data set once, shards and their examples in random order.

    Raises:
        NotFoundError: There are none.
        InputError: A shard is damaged.
    """
    paths = shard_paths(folder, purpose)
    for at in rng.permutation(len(paths)):
        shard = read_shard(paths[at])
        for place in rng.permutation(len(shard.images)):
            yield shard.images[place], shard.labels[place]


@lru_cache(maxsize=_PEOPLE_A_SHARD + 2)
def _subject(path: Path) -> Subject:
    try:
        return prepare_subject(load_column(path))
    except ValueError as error:
        raise InputError(str(error), path, "prepare it again: scripts/prepare_columns.py") from error


def _write(path: Path, head: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> None:
    """An archive of numpy's at zlib's fastest level: noise does not get smaller by trying harder."""
    every = {"head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8), **arrays}
    with (
        writing(path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        for name, array in every.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, allow_pickle=False)
            # A ZipInfo has no date of today: the same examples are the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), stream.getbuffer(), zipfile.ZIP_DEFLATED, 1)


def _head(path: Path) -> dict[str, Any] | None:
    """What a shard was made from; None where there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            head = json.loads(archive["head"].tobytes())
            # The directory of a zip lies at its end: one that opens was written whole.
            return {key: head[key] for key in ("format", "purpose", "number", "seed", "examples", "made_from")}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _digest(*columns: Column | None) -> str:
    """Of what columns hold, and of how they are completed."""
    total = hashlib.sha256(f"{FORMAT} {_BORROWED_ABOVE}".encode())
    for column in columns:
        if column is None:
            continue
        total.update(f"{column.name} {column.affine.tolist()} {column.canal.tolist()}".encode())
        for part in column.parts:
            total.update(f"{part.name} {part.start} {part.whole}".encode())
            total.update(part.distance.tobytes())
            if part.body is not None:
                total.update(part.body.tobytes())
        if column.surround is not None:
            total.update(column.surround.tobytes())
    return total.hexdigest()


def _fingerprint(paths: Sequence[Path]) -> str:
    total = hashlib.sha256(FORMAT.encode())
    for path in paths:
        try:
            with path.open("rb") as stream:
                total.update(f"{path.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
        except OSError as error:
            raise NotFoundError("cannot be read", path, "complete the people again: scripts/make_shards.py") from error
    return total.hexdigest()
