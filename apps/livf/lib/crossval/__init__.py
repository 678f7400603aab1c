"""Cross-validation: patients into folds, a training each, predictions, the paper's tables. Needs torch and monai."""

from livf.lib.crossval.run import crossvalidate

__all__ = ["crossvalidate"]
