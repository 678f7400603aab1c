"""How far a server may be reached: beyond this machine only with logins, and with TLS or behind a proxy that has it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from livf.lib.access.oidc import Provider
from livf.lib.access.tokens import TokenStore
from livf.lib.config import Config
from livf.lib.errors import NotFoundError, UsageError


@dataclass(frozen=True)
class Tls:
    """A certificate with its key, PEM files."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None) -> Tls | None:
        """The certificate and key that were given; None where neither was.

        Raises:
            UsageError: Only one was given, or they do not belong together.
            NotFoundError: A file is missing.
        """
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise UsageError("is missing", "--ssl-keyfile" if key is None else "--ssl-certfile", "give both files")
        for path in (certificate, key):
            if not path.is_file():
                raise NotFoundError("there is no such file", path, "give the certificate and its key as PEM files")
        try:
            # An encrypted key would be asked for on the terminal; an empty password is refused in its place.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot be used with its key ({error})", certificate, "give PEM files that belong "
                             "together, the key without a password") from error  # fmt: skip
        return cls(certificate, key)


def exposed(config: Config, state: Path, host: str, *, loopback: bool, tls: Tls | None) -> Config:
    """The settings for an address to listen on: beyond this machine, and behind a proxy, a login is needed.

    Args:
        config: The settings as given.
        state: The site's state folder, with its tokens.
        host: The address.
        loopback: Whether it is of this machine alone.
        tls: Certificate and key, if there are any.

    Returns:
        The settings, with logins on where the server can be reached from elsewhere.

    Raises:
        UsageError: It could be reached from elsewhere without login or TLS; what is missing is said.
    """
    if config.oidc is not None:
        Provider.read(config.oidc)
    if loopback and not config.proxies:
        return config
    missing = []
    if config.oidc is None and not any(token.state(datetime.now(UTC)) == "valid" for token in TokenStore(state).all()):
        missing.append("a login (make one: livf server token create, or give --oidc)")
    if tls is None and not config.proxies:
        missing.append("TLS (--ssl-certfile and --ssl-keyfile, or --behind-proxy)")
    if missing:
        raise UsageError(
            "would be open to other machines", f"--host {host}", f"to listen there it needs {' and '.join(missing)}"
        )
    return replace(config, auth=True)
