"""Reason codes: each has a sentence, and each refusal and warning that is raised is one of them."""

import re
from pathlib import Path

import pytest

import livf.lib.foramen
from livf.lib.foramen.reasons import REFUSALS, SENTENCES, WARNINGS, RefusedError

SOURCES = "\n".join(
    p.read_text() for p in Path(livf.lib.foramen.__file__).parent.glob("*.py") if p.name != "reasons.py"
)


def test_no_code_refuses_and_warns():
    assert not set(REFUSALS) & set(WARNINGS)
    assert SENTENCES == {**REFUSALS, **WARNINGS}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_code_is_used_and_is_one_sentence(code):
    assert re.fullmatch(r"[a-z][a-z_]+", code)
    assert f'"{code}"' in SOURCES, "nothing refuses or warns with it"
    assert re.fullmatch(r"[A-Z].{20,}[^.]\.", SENTENCES[code])


def test_every_refusal_in_the_engine_has_a_sentence():
    raised = set(re.findall(r'RefusedError\("(\w+)"\)', SOURCES))
    assert len(raised) > 5
    assert raised <= set(REFUSALS)


def test_a_refusal_carries_its_code():
    assert RefusedError("outline_open").code == "outline_open"
    for code in ("corner_not_found", "nonsense"):
        with pytest.raises(AssertionError):
            RefusedError(code)
