"""A column in one file: numpy's own archive, nothing pickled, whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from livf.lib.errors import InputError, NotFoundError
from livf.lib.storage import writing
from livf.lib.synthesis.columns.column import Column, Kind, Part

#: Changes whenever what is stored, or how it is made, changes: older files are then made anew.
FORMAT: Final = "livf.column/1"
_REMEDY: Final = "prepare it again: scripts/prepare_columns.py"


def fingerprint(files: Sequence[Path]) -> str:
    """One SHA-256 over the names and contents of the files a column is made from.

    Raises:
        NotFoundError: One is missing or cannot be read.
    """
    total = hashlib.sha256(FORMAT.encode())
    for file in sorted(files):
        try:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise NotFoundError("cannot be read", file, "see scripts/fetch_anatomy.py for where it is from") from error
        total.update(f"{file.name} {content}\n".encode())
    return total.hexdigest()


def save_column(target: str | os.PathLike[str], column: Column, sources: str = "") -> None:
    """Write a column to ``target`` (.npz).

    Args:
        target: File to write.
        column: What to write.
        sources: :func:`fingerprint` of the files it was made from.

    Raises:
        OutputError: It cannot be written.
    """
    head = {
        "format": FORMAT,
        "name": column.name,
        "source": column.source,
        "sources_sha256": sources,
        "shape": list(column.shape),
        "parts": [
            {"name": p.name, "kind": p.kind.value, "start": list(p.start), "whole": p.whole, "body": p.body is not None}
            for p in column.parts
        ],
    }
    arrays: dict[str, Any] = {"head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)}
    arrays |= {"affine": column.affine, "canal": column.canal}
    for place, part in enumerate(column.parts):
        arrays[f"distance{place}"] = part.distance
        if part.body is not None:
            arrays[f"body{place}"] = part.body
    if column.surround is not None and column.surround_affine is not None:
        arrays |= {"surround": column.surround, "surround_affine": column.surround_affine}
    with writing(target) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_column(path: str | os.PathLike[str]) -> Column:
    """Read a column.

    Raises:
        NotFoundError: There is no such file.
        InputError: It is not a column, or is damaged or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            head = _head(archive, path)
            parts = tuple(
                Part(
                    name=str(entry["name"]),
                    kind=Kind(entry["kind"]),
                    distance=archive[f"distance{place}"],
                    start=(int(entry["start"][0]), int(entry["start"][1]), int(entry["start"][2])),
                    body=archive[f"body{place}"] if entry["body"] else None,
                    whole=bool(entry["whole"]),
                )
                for place, entry in enumerate(head["parts"])
            )
            shape = head["shape"]
            return Column(
                name=str(head["name"]),
                source=str(head["source"]),
                shape=(int(shape[0]), int(shape[1]), int(shape[2])),
                affine=archive["affine"],
                parts=parts,
                canal=archive["canal"],
                surround=archive.get("surround"),
                surround_affine=archive.get("surround_affine"),
            )
    except FileNotFoundError as error:
        raise NotFoundError("there is no such file", path, _REMEDY) from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise InputError("is not a prepared column, or is damaged", path, _REMEDY) from error


def made_from(path: str | os.PathLike[str]) -> str | None:
    """:func:`fingerprint` of the files that the column in ``path`` was made from; None where it holds no column."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return str(_head(archive, path)["sources_sha256"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, InputError):
        return None


def _head(archive: Any, path: str | os.PathLike[str]) -> dict[str, Any]:
    head = json.loads(archive["head"].tobytes())
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise InputError(f"is not of this version ({FORMAT})", path, _REMEDY)
    return head
