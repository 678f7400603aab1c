"""What libraries print is kept from the terminal, and only while they run."""

from __future__ import annotations

import logging
import os
import warnings

import pytest

from livf.lib.images.quiet import native_silence, python_silence


def test_native_output_goes_to_the_debug_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), native_silence():
        os.write(2, b"MetaImage: something is wrong\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
    assert "something is wrong" in caplog.text


def test_standard_error_comes_back_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="x"), native_silence():
        raise ValueError("x")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_python_warnings_and_loggers(recwarn: pytest.WarningsRecorder) -> None:
    logger = logging.getLogger("livf.test.quiet")
    logger.setLevel(logging.INFO)
    with python_silence("livf.test.quiet"):
        warnings.warn("value of a tag", stacklevel=1)
        assert not logger.isEnabledFor(logging.WARNING)
    assert logger.level == logging.INFO
    assert not recwarn.list
