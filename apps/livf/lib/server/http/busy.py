"""Errors of a server that could, but not now."""

from __future__ import annotations

from http import HTTPStatus

from livf.lib.errors import LivfError


class BusyError(LivfError):
    """The server has all it can hold; what was asked for can be asked for again."""

    http_status = HTTPStatus.SERVICE_UNAVAILABLE
