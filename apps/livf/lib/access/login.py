"""Who a request comes from: by a livf token, a provider's token, or a browser's session."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field

from livf.lib.access.identity import Principal
from livf.lib.access.oidc import OidcVerifier
from livf.lib.access.refusals import NotAuthenticatedError
from livf.lib.access.sessions import MAX_AGE, Session, SessionStore
from livf.lib.access.tokens import PREFIX, TokenStore


@dataclass(frozen=True)
class Proof:
    """What somebody proved themselves with.

    Attributes:
        principal: Who it is.
        token: Id of the livf token; None for a provider's.
        valid_for: How long the proof is valid, s; a livf token's own end is asked for each time.
    """

    principal: Principal
    token: str | None = None
    valid_for: float = MAX_AGE


@dataclass
class Logins:
    """All ways to log in that a server has.

    Attributes:
        tokens: The site's livf tokens.
        oidc: Its identity provider, if it has one.
        sessions: The open browser sessions.
    """

    tokens: TokenStore
    oidc: OidcVerifier | None = None
    sessions: SessionStore = field(default_factory=SessionStore)

    def by_token(self, text: str) -> Proof:
        """Whom a bearer token proves; may ask the provider, so not on an event loop.

        Raises:
            NotAuthenticatedError: It proves nobody.
            ProviderError: The provider cannot be asked.
        """
        if self.oidc is None or text.startswith(PREFIX):
            token = self.tokens.check(text)
            return Proof(token.principal, token.id)
        principal, ends = self.oidc.verify(text)
        return Proof(principal, valid_for=max(0.0, ends - time.time()))

    def by_name(self, name: str, secret: str) -> Proof:
        """Whom a name with a token as its password proves: what 3D Slicer's login asks for.

        Raises:
            NotAuthenticatedError: The token proves nobody, or somebody else.
            ProviderError: The provider cannot be asked.
        """
        proof = self.by_token(secret)
        if not hmac.compare_digest(proof.principal.name.encode(), name.strip().encode("utf-8", "replace")):
            raise NotAuthenticatedError("is not this name's token", "password", "log in with the name it was made for")
        return proof

    def by_cookie(self, secret: str) -> Session:
        """The browser session a cookie holds.

        Raises:
            NotAuthenticatedError: It has ended, or the token it was opened with has.
        """
        session = self.sessions.get(secret)
        if session is None:
            raise NotAuthenticatedError("has ended", "session", "log in again")
        if session.token is not None:
            try:
                self.tokens.still_valid(session.token)
            except NotAuthenticatedError:
                self.sessions.close(secret)
                raise
        return session
