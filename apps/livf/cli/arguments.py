"""What the commands share: types of arguments, settings from options and environment, the line on research use."""

from __future__ import annotations

import argparse
import math
import os
import sys
from typing import TypeAlias

from livf.lib.config import Config

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

RESEARCH_USE = "livf is for research use; it is not a medical device."
MODEL_HELP = "folder of other weights than the shipped ones"
DEVICE_HELP = "cpu, cuda, cuda:N or mps (default: a GPU if there is one)"


def config_of(arguments: argparse.Namespace, *keys: str) -> Config:
    """The settings named by options, else by the environment."""
    given = {key: getattr(arguments, key) for key in keys}
    return Config.parse({key: value for key, value in given.items() if value is not None}, os.environ)


def port(text: str) -> int:
    """A port number."""
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def point(text: str) -> tuple[float, float, float]:
    """A point R,A,S in mm."""
    try:
        r, a, s = (float(part) for part in text.split(","))
        if not all(math.isfinite(value) for value in (r, a, s)):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a point: give three numbers R,A,S in mm") from None
    return r, a, s


def natural(text: str) -> int:
    """A whole number from 0 to 999999999."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 999999999")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1 to 999999999."""
    number = natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def show_progress(stage: str, share: float) -> None:
    """Draw one line of progress on standard error, over the last one."""
    filled = round(20 * share)
    print(f"\r\033[K[{'#' * filled}{'.' * (20 - filled)}] {stage}", end="", file=sys.stderr, flush=True)
