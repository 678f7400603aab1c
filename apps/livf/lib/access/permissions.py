"""Who may do what: one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from livf.lib.access.identity import Principal, Role
from livf.lib.access.refusals import NotAllowedError, NotAuthenticatedError


class Action(StrEnum):
    """What somebody can want of a server."""

    READ = "read"  # images, labels, what is known about them, and what the server is doing
    INFER = "infer"  # segment and measure, and take the next image
    SAVE = "save"  # submit a label or an image
    REVIEW = "review"  # judge another's label
    TRAIN = "train"  # start and stop training and scoring, take the training data
    PROMOTE = "promote"  # make a trained model the one that serves
    ADMINISTRATE = "administrate"  # remove images and labels, infer on all images, read the log


_EVERYBODY: Final = frozenset(Role)
_REVIEWERS: Final = frozenset({Role.REVIEWER, Role.ADMIN})
_ADMINS: Final = frozenset({Role.ADMIN})

#: The roles that may do each action. An action that is not here is nobody's.
ALLOWED: Final[Mapping[Action, frozenset[Role]]] = MappingProxyType(
    {
        Action.READ: _EVERYBODY,
        Action.INFER: _EVERYBODY,
        Action.SAVE: _EVERYBODY,
        Action.REVIEW: _REVIEWERS,
        Action.TRAIN: _REVIEWERS,
        Action.PROMOTE: _ADMINS,
        Action.ADMINISTRATE: _ADMINS,
    }
)


def may(principal: Principal | None, action: Action) -> bool:
    """Whether somebody may do something."""
    return principal is not None and not ALLOWED.get(action, frozenset()).isdisjoint(principal.roles)


def require(principal: Principal | None, action: Action) -> None:
    """Refuse what somebody may not do.

    Raises:
        NotAuthenticatedError: Nobody is known to be asking.
        NotAllowedError: None of their roles may.
    """
    if principal is None:
        raise NotAuthenticatedError("a login is needed", "", "send a token, see livf server token")
    if not may(principal, action):
        roles = " or ".join(sorted(ALLOWED.get(action, frozenset()))) or "nobody"
        raise NotAllowedError(f"may not {action}", principal.name, f"it takes the role {roles}")
