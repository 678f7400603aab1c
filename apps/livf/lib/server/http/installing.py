"""Puts the gateway before MONAI Label's app."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from monailabel.config import settings

from livf.lib.access.audit import AuditLog
from livf.lib.access.login import Logins
from livf.lib.access.oidc import OidcVerifier, Provider
from livf.lib.access.tokens import TokenStore
from livf.lib.config import Config
from livf.lib.server.http.endpoints import build
from livf.lib.server.http.gateway import Gateway
from livf.lib.server.http.policy import Policy
from livf.lib.server.http.scrub import Scrubber
from livf.lib.server.http.site import Site


def install(stock: FastAPI, config: Config, studies: Path, state: Path) -> None:
    """Make livf answer in the stock app's place, whether or not it runs already.

    Args:
        stock: MONAI Label's app.
        config: The site's settings.
        studies: Its studies folder.
        state: Its state folder.

    Raises:
        LivfError: The identity provider's file cannot be used.
    """
    oidc = OidcVerifier(Provider.read(config.oidc)) if config.oidc else None
    policy = Policy(
        auth=config.auth,
        hosts=frozenset(config.hosts),
        origins=frozenset(config.origins),
        proxies=frozenset(config.proxies),
    )
    folders = [studies, state, Path(settings.MONAI_LABEL_APP_DIR or "."), Path.cwd()]
    if config.model:
        folders.append(config.model)
    logins = Logins(TokenStore(state), oidc)
    site = Site(studies, state, policy, logins, Scrubber(folders))
    stock.middleware_stack = Gateway(
        stock.build_middleware_stack(),
        build(site),
        policy=policy,
        logins=logins,
        audit=AuditLog(state),
        scrubber=site.scrubber,
        prefix=settings.MONAI_LABEL_API_STR,
    )
