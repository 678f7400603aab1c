"""Logins at an OpenID Connect provider: whom a signed token (JWT) names, and what they may be.

The algorithms are the site's, never the token's; ``none`` and those with a shared secret cannot be configured. Keys
come from the provider's key set, which is fetched again when a token names a key that is not in it: rarely, so that
made-up key ids do not turn this server against the provider.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from livf.lib.access.identity import Principal, Role
from livf.lib.access.refusals import NotAuthenticatedError, ProviderError
from livf.lib.access.tokens import valid_name
from livf.lib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from jwt import PyJWKClient
    from jwt.api_jwk import PyJWK

logger = logging.getLogger(__name__)

#: Algorithms with a public key; others prove nothing about the issuer.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MAX_LEEWAY_S: Final = 120
#: Shortest time between two fetches of the key set that unknown key ids or failures ask for, s.
REFETCH_S: Final = 30.0
#: Oldest key set that is used, s: a key that the provider takes back is refused after this time.
_KEYS_LIFE_S: Final = 300
_TIMEOUT_S: Final = 5
_MAX_DISCOVERY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider, as a site configures it.

    Attributes:
        issuer: Its address, exactly as its tokens name it.
        audience: What its tokens for this server are made for.
        roles: The roles here by the names of roles there.
        algorithms: Of :data:`ALGORITHMS`; others are refused.
        jwks_uri: Where its keys are; empty to ask the provider.
        name_claim: The claim that names the person.
        roles_claim: The claim that lists their roles, dots for claims within claims.
        leeway_s: How far the clocks may be apart, s.
    """

    issuer: str
    audience: str
    roles: Mapping[str, Role] = field(default_factory=dict)
    algorithms: tuple[str, ...] = ("RS256",)
    jwks_uri: str = ""
    name_claim: str = "preferred_username"
    roles_claim: str = "realm_access.roles"
    leeway_s: int = 30

    def __post_init__(self) -> None:
        _safe_address(self.issuer, "issuer")
        if self.jwks_uri:
            _safe_address(self.jwks_uri, "jwks_uri")
        if not self.audience:
            raise UsageError("is missing", "audience", "give what the provider makes tokens for")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise UsageError("has an algorithm without a public key", "algorithms", f"give of {', '.join(ALGORITHMS)}")
        if not 0 <= self.leeway_s <= MAX_LEEWAY_S:
            raise UsageError("is out of bounds", "leeway_s", f"give 0 to {MAX_LEEWAY_S}")

    @classmethod
    def read(cls, path: Path) -> Provider:
        """Read a provider from a TOML file with the keys of this class.

        Raises:
            NotFoundError: There is no such file.
            UsageError: It is not TOML, has an unknown key, or a value that cannot mean anything.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotFoundError("there is no such file", path, "give the provider's TOML file") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"is not a TOML file ({error})", path, "see SECURITY.md for its keys") from error
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(document) - known):
            raise UsageError(f"has an unknown key {unknown[0]!r}", path, f"the keys are {', '.join(sorted(known))}")
        try:
            values: dict[str, Any] = {key: _typed(key, value) for key, value in document.items()}
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise UsageError(f"cannot be understood ({error})", path, "see SECURITY.md for its keys") from error


class OidcVerifier:
    """Verifies the tokens of one provider.

    Args:
        provider: Which.
        refetch_s: Shortest time between fetches of the key set that a token or a failure asks for.
        clock: Seconds that never go back.
    """

    def __init__(
        self, provider: Provider, refetch_s: float = REFETCH_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.provider = provider
        self._refetch_s = refetch_s
        self._clock = clock
        self._lock = threading.Lock()
        self._client: PyJWKClient | None = None
        self._failed_at = -float("inf")
        self._refetched_at = -float("inf")

    def verify(self, token: str) -> tuple[Principal, float]:
        """Whom a token proves.

        Returns:
            The person, and the Unix time at which the token ends.

        Raises:
            NotAuthenticatedError: It is not this provider's, not for this server, or not valid now.
            ProviderError: The provider's keys cannot be fetched.
        """
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self.provider.algorithms or not isinstance(header.get("kid"), str):
                raise jwt.InvalidAlgorithmError("another algorithm, or no key id")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(header["kid"]),
                algorithms=list(self.provider.algorithms),
                issuer=self.provider.issuer,
                audience=self.provider.audience,
                leeway=self.provider.leeway_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise NotAuthenticatedError("is expired", "token", "log in again") from error
        except jwt.PyJWTError as error:
            logger.info("a provider's token was refused: %s", type(error).__name__)
            raise NotAuthenticatedError("is not a valid token of the provider", "token", "log in again") from error
        return self._principal(claims), float(claims["exp"])

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        name = claims.get(self.provider.name_claim)
        try:
            valid_name(name if isinstance(name, str) else "")
        except UsageError:
            claim = self.provider.name_claim
            raise NotAuthenticatedError(f"has no usable name ({claim})", "token", "set name_claim") from None
        found: Any = claims
        for part in self.provider.roles_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        theirs = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        roles = frozenset(
            self.provider.roles[role] for role in theirs if isinstance(role, str) and role in self.provider.roles
        )
        return Principal(str(name), roles, verified=True)

    def _key(self, kid: str) -> PyJWK:
        import jwt

        with self._lock:
            now = self._clock()
            key = self._matching(kid, now, refresh=False)
            if key is None and now - self._refetched_at >= self._refetch_s:
                self._refetched_at = now
                key = self._matching(kid, now, refresh=True)
        if key is None:
            raise jwt.InvalidKeyError("unknown key id")
        return key

    def _matching(self, kid: str, now: float, *, refresh: bool) -> PyJWK | None:
        import jwt

        if now - self._failed_at < self._refetch_s:
            raise ProviderError("cannot be reached", "the identity provider", "try again in a minute")
        try:
            if self._client is None:
                self._client = jwt.PyJWKClient(self._keys_address(), lifespan=_KEYS_LIFE_S, timeout=_TIMEOUT_S)
            return self._client.match_kid(self._client.get_signing_keys(refresh=refresh), kid)
        except (jwt.PyJWTError, OSError, ValueError) as error:
            self._failed_at = now
            logger.warning("the identity provider's keys cannot be fetched: %s", error)
            raise ProviderError("cannot be reached", "the identity provider", "try again in a minute") from error

    def _keys_address(self) -> str:
        if self.provider.jwks_uri:
            return self.provider.jwks_uri
        address = self.provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # checked by _safe_address
            document = json.loads(answer.read(_MAX_DISCOVERY_BYTES))
        if document.get("issuer") != self.provider.issuer:
            raise ValueError("the provider names another issuer")
        uri = str(document.get("jwks_uri", ""))
        _safe_address(uri, "jwks_uri")
        return uri


def _typed(key: str, value: object) -> Any:
    if key == "roles":
        if not isinstance(value, dict):
            raise TypeError("roles is not a table")
        return {str(theirs): Role(ours) for theirs, ours in value.items()}
    if key == "algorithms":
        if not isinstance(value, list):
            raise TypeError("algorithms is not a list")
        return tuple(str(entry) for entry in value)
    wanted = int if key == "leeway_s" else str
    if type(value) is not wanted:
        raise TypeError(f"{key} is not {'a whole number' if wanted is int else 'a text'}")
    return value


def _safe_address(address: str, key: str) -> None:
    """Keys that come over plain HTTP could be anybody's; on this machine they could not."""
    parts = urlsplit(address)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        return
    raise UsageError("is not an https address", f"{key} {address!r}", "give the provider's address, with https://")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
