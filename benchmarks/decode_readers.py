"""How cliptide and others read frames of a video by index, each in its fairest configuration.

Every reader has one thread, opens the file itself, and gives the asked frames, ascending and
resized, as a (N, height, width, 3) or (N, 3, height, width) array of uint8 RGB.

TorchCodec needs the system's FFmpeg (`apt install ffmpeg`); it and decord come with the extra
`bench`. A reader that is not installed is left out.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.video import open_video

Reader = Callable[[Path, Sequence[int], tuple[int, int]], Any]


def cliptide(path: Path, indices: Sequence[int], size: tuple[int, int]) -> Any:
    with open_video(path) as video:
        return video.frames_at(indices, size=size)


def plan_cpu_s(path: Path, indices: Sequence[int]) -> tuple[float, float]:
    """CPU seconds that cliptide's plan takes without any conversion: with opening, and without."""
    began = time.process_time()
    with open_video(path) as video:
        opened = time.process_time()
        for _ in video._decoded(set(indices)):
            pass
        done = time.process_time()
    return time.process_time() - began, done - opened


def pyav_in_order(path: Path, indices: Sequence[int], size: tuple[int, int]) -> Any:
    frames, wanted = [], set(indices)
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                rgb = frame.to_ndarray(format="rgb24")
                frames.append(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA))
                if len(frames) == len(wanted):
                    break
    return np.stack(frames)


def opencv(path: Path, indices: Sequence[int], size: tuple[int, int]) -> Any:
    """Grabs every frame and converts those asked for: its seeking is not exact."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames, wanted = [], set(indices)
    for index in range(indices[-1] + 1):
        if not capture.grab():
            raise RuntimeError(f"frame {index} cannot be grabbed")
        if index in wanted:
            _, bgr = capture.retrieve()
            small = cv2.resize(bgr, size[::-1], interpolation=cv2.INTER_AREA)
            frames.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


class TorchCodec:
    """Reads with TorchCodec.

    Args:
        seek_mode: "exact" scans the file on opening; "approximate" believes the header.
        inside: Whether the decoder resizes, or torch afterwards.
    """

    def __init__(self, seek_mode: str, *, inside: bool = True) -> None:
        self.seek_mode, self.inside = seek_mode, inside

    def __call__(self, path: Path, indices: Sequence[int], size: tuple[int, int]) -> Any:
        from torchcodec.decoders import VideoDecoder
        from torchcodec.transforms import Resize
        from torchvision.transforms.v2.functional import resize

        decoder = VideoDecoder(
            str(path),
            seek_mode=self.seek_mode,
            num_ffmpeg_threads=1,
            transforms=[Resize(size)] if self.inside else None,
        )
        if len(indices) == indices[-1] + 1:
            frames = decoder.get_frames_in_range(0, len(indices)).data
        else:
            frames = decoder.get_frames_at(list(indices)).data
        return frames if self.inside else resize(frames, list(size), antialias=True)


def decord(path: Path, indices: Sequence[int], size: tuple[int, int]) -> Any:
    from decord import VideoReader, cpu

    height, width = size
    reader = VideoReader(str(path), ctx=cpu(0), width=width, height=height, num_threads=1)
    return reader.get_batch(list(indices)).asnumpy()


def one_thread() -> None:
    """Hold every library to one thread in this process."""
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def peers() -> dict[str, Reader]:
    """The readers beside cliptide that are installed."""
    found: dict[str, Reader] = {}
    try:
        import torchcodec  # noqa: F401

        found["TorchCodec"] = TorchCodec("exact")
        found["TorchCodec approximate"] = TorchCodec("approximate")
    except (ImportError, RuntimeError) as error:
        _left_out("TorchCodec", error)
    try:
        import decord as _  # noqa: F401

        found["decord"] = decord
    except ImportError as error:
        _left_out("decord", error)
    return found | {"OpenCV": opencv, "PyAV in order": pyav_in_order}


def versions() -> str:
    """What was measured with, in one line."""
    found = [f"PyAV {av.__version__}", f"OpenCV {cv2.__version__}"]
    with suppress(ImportError, RuntimeError):
        import torchcodec
        from torchcodec._core import get_ffmpeg_library_versions

        ffmpeg = get_ffmpeg_library_versions()["ffmpeg_version"]
        found.append(f"TorchCodec {torchcodec.__version__} (FFmpeg {ffmpeg})")
    with suppress(ImportError):
        import decord

        found.append(f"decord {decord.__version__}")
    return ", ".join(found)


def as_pictures(frames: Any) -> NDArray[np.uint8]:
    """(N, height, width, 3) uint8 RGB of what a reader gave."""
    pictures = np.asarray(frames)
    return pictures if pictures.shape[-1] == 3 else pictures.transpose(0, 2, 3, 1)


def _left_out(name: str, error: Exception) -> None:
    reason = str(error).strip().splitlines()[0]
    print(f"without {name}: {reason} (pip install -e '.[bench]')", file=sys.stderr)
