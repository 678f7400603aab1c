"""Why a side has no number, or a number to look at twice: one code and one sentence each."""

from __future__ import annotations

from typing import Final

#: Codes that refuse a side.
REFUSALS: Final[dict[str, str]] = {
    "missing_structure": "A vertebra or the disc is not in the label.",
    "incomplete_structure": "Parts of a vertebra or the disc are missing from the label.",
    "disconnected_structure": "A large part of a vertebra or the disc is not connected with the rest of it.",
    "wrong_level_order": "The upper vertebra does not lie above the disc and the lower one below it.",
    "level_unclear": "It is not clear which level this is; name it to have it measured.",
    "wall_not_found": "The posterior wall of a vertebra's body, with the canal behind it, was not found.",
    "pedicle_not_found": "A pedicle that borders the foramen was not found.",
    "truncated_pedicle": "The image or the label ends in a pedicle or in the foramen.",
    "opening_not_found": "No opening lies behind the posterior walls, between the pedicles.",
    "outline_split": "The opening is in several parts.",
    "outline_open": "The outline is not closed by bone and disc, with a joint of at most 2 mm.",
    "truncated_posterior_elements": "The lower vertebra's superior articular process is missing, cut off or too thin.",
    "implausible_geometry": "The outline's size is anatomically impossible.",
}
#: Codes that come with numbers.
WARNINGS: Final[dict[str, str]] = {
    "corner_not_found": "FW is not given: no point of the articular processes lies across from the corner.",
    "unusual_value": "A number lies outside the usual range, or the sides differ by more than 40 %.",
    "slices_too_thick": "The voxels are 3 mm or longer along an axis; the numbers are less sure.",
    "frame_unstable": "The level is not symmetric by more than 5 degrees; the projection's direction is less sure.",
    "spondylolisthesis": "The upper vertebra has slipped on the lower one.",
}
#: What each code says.
SENTENCES: Final[dict[str, str]] = REFUSALS | WARNINGS


class RefusedError(Exception):
    """A side is not measured; the argument is its code. Never leaves this package."""

    def __init__(self, code: str) -> None:
        assert code in REFUSALS
        self.code = code
        super().__init__(code)
