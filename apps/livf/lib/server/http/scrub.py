"""Takes the server's own paths and tracebacks out of what is answered."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

#: Lines of a traceback: its head, and where in which file, with the code below.
_TRACE = re.compile(r"^\s*(Traceback \(most recent call last\):|File \"[^\"]*\", line \d+|\^+|~+\^*~*)")
_CODE = re.compile(r"^\s{4,}")
_MAX_DEPTH: Final = 32


class Scrubber:
    """Cleans answers of one server.

    Args:
        folders: The folders whose paths no client should see; those of Python and of temporary files are added.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        own = [
            Path(__file__).parents[5],
            Path(sys.prefix),
            Path(sys.base_prefix),
            Path(tempfile.gettempdir()),
            Path.home(),
        ]
        roots = {str(path) for folder in [*folders, *own] for path in (folder, folder.absolute(), folder.resolve())}
        # Longest first: a folder within another is taken out whole. The root of all would take every slash.
        ordered = sorted((root for root in roots if len(Path(root).parts) > 1), key=len, reverse=True)
        either = "|".join(re.escape(root) for root in ordered)
        self._path = re.compile(rf"(?:{either})(?![\w.-])(?:[/\\][^\s'\":,;<>()\[\]]*)*")

    def text(self, text: str) -> str:
        """A text without paths: of a file, its name stays."""
        return self._path.sub(lambda found: os.path.basename(found[0].rstrip("/\\").replace("\\", "/")), text)

    def lines(self, lines: Iterable[str]) -> list[str]:
        """Lines without paths and tracebacks."""
        kept: list[str] = []
        in_trace = False
        for line in lines:
            if _TRACE.match(line):
                in_trace = True
            elif in_trace and _CODE.match(line):
                continue
            else:
                in_trace = False
                kept.append(self.text(line))
        return kept

    def value(self, value: Any, depth: int = 0) -> Any:
        """A JSON value without paths, in a new value; ``path`` of an image is emptied, since clients open it."""
        if isinstance(value, str):
            return "\n".join(self.lines(value.split("\n")))
        if depth > _MAX_DEPTH:
            return None
        if isinstance(value, dict):
            return {
                self.text(str(key)): "" if key == "path" else self.value(entry, depth + 1)
                for key, entry in value.items()
            }
        if isinstance(value, list | tuple):
            if all(isinstance(entry, str) for entry in value):
                return self.lines(value)
            return [self.value(entry, depth + 1) for entry in value]
        return value


def cleaning(send: Send, scrubber: Scrubber) -> Send:
    """A ``send`` that cleans JSON answers; others pass as they come."""
    start: Message | None = None
    body = bytearray()

    async def sending(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start" and _is_json(message):
            start = message
        elif start is not None and message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                first, start = start, None
                cleaned = _cleaned(bytes(body), scrubber)
                headers = MutableHeaders(raw=list(first["headers"]))
                # An answer to HEAD keeps the length of what it stands for.
                if body:
                    headers["content-length"] = str(len(cleaned))
                await send({**first, "headers": headers.raw})
                await send({"type": "http.response.body", "body": cleaned})
        else:
            await send(message)

    return sending


def _is_json(start: Message) -> bool:
    return any(
        key.lower() == b"content-type" and value.split(b";")[0].strip().lower() == b"application/json"
        for key, value in start["headers"]
    )


def _cleaned(body: bytes, scrubber: Scrubber) -> bytes:
    try:
        content = json.loads(body)
    except ValueError:
        return body
    return json.dumps(scrubber.value(content), ensure_ascii=False, separators=(",", ":")).encode()
