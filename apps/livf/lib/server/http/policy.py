"""Which connections and pages a server talks to: transport, host names, origins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from livf.lib.access.refusals import NotAllowedError
from livf.lib.errors import LivfError

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via")


class WrongHostError(LivfError):
    """The request is for another host."""

    http_status = HTTPStatus.MISDIRECTED_REQUEST


@dataclass(frozen=True)
class Connection:
    """Where a request comes from.

    Attributes:
        client: The client's address; behind a proxy, what the proxy says.
        secure: Whether nobody between can read along: TLS, or TLS up to the proxy.
        here: Whether it comes from this machine and not through a proxy.
    """

    client: str
    secure: bool
    here: bool


@dataclass(frozen=True)
class Policy:
    """What a site allows.

    Attributes:
        auth: Whether a login is needed.
        hosts: Names of the server beside those of the loopback address.
        origins: Origins of pages that may talk to the server, beside its own.
        proxies: Addresses of the reverse proxies that are trusted.
    """

    auth: bool = False
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    proxies: frozenset[str] = frozenset()

    def connection(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Connection:
        """Where a request comes from, or why it is not answered at all.

        Raises:
            NotAllowedError: It comes from beyond this machine, and authentication or TLS is missing.
        """
        peer = str((scope.get("client") or ("",))[0])
        arrived = str((scope.get("server") or ("",))[0])
        tls = scope.get("scheme") == "https"
        if self.proxies and _plain(peer) in self.proxies:
            client = headers.get("x-forwarded-for", "").rsplit(",", 1)[-1].strip()
            if headers.get("x-forwarded-proto", "https").rsplit(",", 1)[-1].strip() != "https":
                raise NotAllowedError("speaks plain HTTP", "the proxy", "connect to it by https")
            if not self.auth:
                raise NotAllowedError("needs a login", "a server behind a proxy", "start it with --auth")
            return Connection(client if is_address(client) else "", secure=True, here=False)
        forwarded = any(name in headers for name in _FORWARDED)
        if is_loopback(peer) and is_loopback(arrived) and not forwarded:
            return Connection(peer, secure=tls, here=True)
        if not self.auth:
            raise NotAllowedError("is closed beyond its own machine", "this server", "its operator has to start it "
                                  "with --auth and TLS")  # fmt: skip
        if not tls:
            raise NotAllowedError("is closed without TLS", "this server", "its operator has to start it with "
                                  "--ssl-certfile and --ssl-keyfile, or behind a proxy")  # fmt: skip
        return Connection(peer, secure=True, here=False)

    def check_host(self, scope: Mapping[str, Any], host: str) -> None:
        """Refuse a request for a host that this is not: a page that points its own name here is another origin.

        Raises:
            WrongHostError: It is none of this server's names, nor the address that the request came to.
        """
        name = host_name(host)
        arrived = _plain(str((scope.get("server") or ("",))[0]))
        if name and (name in _LOOPBACK_NAMES or name in self.hosts or (is_address(name) and name == arrived)):
            return
        raise WrongHostError("is not a name of this server", name or "no host", "its operator adds it by --allow-host")

    def check_origin(self, secure: bool, headers: Mapping[str, str]) -> str | None:
        """The origin of another page that may read the answer; None for this server's own and for no page.

        Raises:
            NotAllowedError: It is the page of somebody else.
        """
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site") and not (
                headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            ):
                raise _foreign()
            return None
        if origin.rstrip("/") in self.origins:
            return origin
        parts = urlsplit(origin)
        own = f"{'https' if secure else 'http'}://{headers.get('host', '')}".lower()
        if parts.netloc and f"{parts.scheme}://{parts.netloc}".lower() == own:
            return None
        raise _foreign()


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ip_address(_plain(address)).is_loopback
    except ValueError:
        return address == "localhost"


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def host_name(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets, lower case; empty where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower() if "@" not in host else ""
    except ValueError:
        return ""


def _plain(address: str) -> str:
    """An IPv4 address that arrived at an IPv6 socket, as IPv4."""
    return address.removeprefix("::ffff:").split("%", 1)[0]


def _foreign() -> NotAllowedError:
    return NotAllowedError("may not use this server", "this page", "its operator allows an origin by --allow-origin")
