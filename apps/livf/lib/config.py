"""The server's configuration: parsed and validated once, then passed on as values.

It comes from ``--conf KEY VALUE`` pairs of MONAI Label's start command and from ``LIVF_*`` environment variables; a
``--conf`` pair wins. ``livf serve`` hands its options on in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from livf.lib.errors import UsageError

ENVIRONMENT_PREFIX: Final = "LIVF_"

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")
#: Keys that MONAI Label itself reads from the app's configuration.
_MONAILABEL_KEYS = frozenset({"server_mode"})


@dataclass(frozen=True)
class Config:
    """What can be set about a server.

    Attributes:
        model: Folder of the network's weights; None for the shipped ones.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; None for a GPU if there is one, else the CPU.
        state: Folder of the site's own state; None for ``.livf`` in the studies folder.
    """

    model: Path | None = None
    device: str | None = None
    state: Path | None = None

    @classmethod
    def parse(cls, conf: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
        """Read ``--conf`` pairs and ``LIVF_*`` variables.

        Args:
            conf: Pairs of ``--conf``; keys are the attributes of this class.
            environment: The process environment; ``LIVF_MODEL`` stands for ``model`` and so on.

        Raises:
            UsageError: A key is not known, or a value cannot mean anything.
        """
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(conf) - set(known) - _MONAILABEL_KEYS)
        if unknown:
            raise UsageError("there is no such setting", f"--conf {unknown[0]}", f"the settings are {', '.join(known)}")
        given: dict[str, str] = {}
        for key in known:
            value = str(conf.get(key, environment.get(ENVIRONMENT_PREFIX + key.upper(), ""))).strip()
            if value:
                given[key] = value
        return cls(
            model=_folder("model", given["model"]) if "model" in given else None,
            device=_device(given["device"]) if "device" in given else None,
            state=Path(given["state"]).expanduser().absolute() if "state" in given else None,
        )

    def pairs(self) -> dict[str, str]:
        """The settings that were made, as ``--conf`` pairs: what a child process is started with."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {key: str(value) for key, value in values.items() if value is not None}

    def state_for(self, studies: Path) -> Path:
        """The folder of a site's own state for a studies folder."""
        return self.state or studies / ".livf"


def _folder(key: str, value: str) -> Path:
    path = Path(value).expanduser().absolute()
    if not path.is_dir():
        raise UsageError("there is no such folder", path, f"give {key} the folder of the network's weights")
    return path


def _device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise UsageError(f"{value!r} is not a device", "device", "give cpu, cuda, cuda:N or mps")
    return value
