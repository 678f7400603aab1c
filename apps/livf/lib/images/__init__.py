"""Images and labels in files: what livf reads, what it writes, and what it refuses.

``read_image`` takes NIfTI, NRRD, MetaImage and DICOM; ``read_label`` and the writers take the first three. Bad input
is an :class:`~livf.lib.errors.InputError` with one line, whatever is wrong with it. SimpleITK, pydicom and nibabel are
imported when a file of theirs is met, not before.
"""

from livf.lib.images.formats import IMAGE_SUFFIXES, LABEL_SUFFIXES, PROBABILITY_SUFFIXES, is_readable_name, suffix_of
from livf.lib.images.readers import read_image, read_label
from livf.lib.images.writers import check_target, write_image, write_label, write_probabilities

__all__ = [
    "IMAGE_SUFFIXES",
    "LABEL_SUFFIXES",
    "PROBABILITY_SUFFIXES",
    "check_target",
    "is_readable_name",
    "read_image",
    "read_label",
    "suffix_of",
    "write_image",
    "write_label",
    "write_probabilities",
]
