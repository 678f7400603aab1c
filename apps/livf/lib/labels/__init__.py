"""Every label that was ever saved: immutable versions with who made them, when, and from what.

``versions`` is what is known about one, ``store`` keeps them in a folder. Knows no web server and no image format: the
caller writes the label's file.
"""

from livf.lib.labels.store import Fault, LabelStore
from livf.lib.labels.versions import Author, LabelVersion, NewLabel, Parent, Review, ReviewState, User, state_of

__all__ = [
    "Author",
    "Fault",
    "LabelStore",
    "LabelVersion",
    "NewLabel",
    "Parent",
    "Review",
    "ReviewState",
    "User",
    "state_of",
]
