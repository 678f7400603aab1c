"""Errors of somebody who may not: unknown to the server, or known and not allowed."""

from __future__ import annotations

from http import HTTPStatus

from livf.lib.errors import LivfError


class NotAuthenticatedError(LivfError):
    """Nobody has proved who is asking."""

    http_status = HTTPStatus.UNAUTHORIZED


class NotAllowedError(LivfError):
    """Who is asking may not do this."""

    http_status = HTTPStatus.FORBIDDEN


class ProviderError(LivfError):
    """The identity provider cannot be asked."""

    http_status = HTTPStatus.SERVICE_UNAVAILABLE
