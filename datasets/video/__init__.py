"""Opening videos and reading exact frames; knows nothing of labels, splits or tensors."""

from cliptide.datasets.video.video import TimedFrame, Video, open_video

__all__ = ["TimedFrame", "Video", "open_video"]
