from __future__ import annotations

import pytest

from livf.lib.access.identity import Principal, Role
from livf.lib.access.permissions import ALLOWED, Action, may, require
from livf.lib.access.refusals import NotAllowedError, NotAuthenticatedError

#: What the site's people expect, written down once more.
EXPECTED = {
    Role.ANNOTATOR: {Action.READ, Action.INFER, Action.SAVE},
    Role.REVIEWER: {Action.READ, Action.INFER, Action.SAVE, Action.REVIEW, Action.TRAIN},
    Role.ADMIN: set(Action),
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_who_may_do_what(role: Role, action: Action) -> None:
    who = Principal("anna", frozenset({role}), verified=True)
    assert may(who, action) == (action in EXPECTED[role])
    if action in EXPECTED[role]:
        require(who, action)
    else:
        with pytest.raises(NotAllowedError, match=f"anna: may not {action}; it takes the role"):
            require(who, action)


def test_every_action_is_somebodys() -> None:
    assert set(ALLOWED) == set(Action) and all(ALLOWED.values())


@pytest.mark.parametrize("action", list(Action))
def test_nobody_and_no_role_may_nothing(action: Action) -> None:
    with pytest.raises(NotAuthenticatedError):
        require(None, action)
    with pytest.raises(NotAllowedError):
        require(Principal("anna", frozenset(), verified=True), action)


def test_several_roles_add_up() -> None:
    both = Principal("anna", frozenset({Role.ANNOTATOR, Role.ADMIN}), verified=True)
    assert all(may(both, action) for action in Action)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ALLOWED[Action.TRAIN] = frozenset(Role)  # type: ignore[index]
