"""Opening videos and reading exact frames; knows nothing of labels, splits or tensors."""

from cliptide.datasets.video.entry import open_video
from cliptide.datasets.video.image_folder import ImageFolder
from cliptide.datasets.video.video import TimedFrame, Video

__all__ = ["ImageFolder", "TimedFrame", "Video", "open_video"]
