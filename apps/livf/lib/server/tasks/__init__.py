"""What the server can be asked to do with an image."""

from livf.lib.server.tasks.batch import BatchInfer
from livf.lib.server.tasks.foramen import ForamenTask
from livf.lib.server.tasks.segmentation import SegmentationTask
from livf.lib.server.tasks.strategy import Random

__all__ = ["BatchInfer", "ForamenTask", "Random", "SegmentationTask"]
