"""The decode benchmark's videos: generated ones of every codec, and real ones if there."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
NUM_FRAMES = 200
RATE_FPS = 25
SIZES = {"256p": (256, 454), "720p": (720, 1280), "1080p": (1080, 1920)}


@dataclass(frozen=True)
class VideoSet:
    """Videos that are timed together.

    Attributes:
        name: As in the table.
        paths: The files.
        torchcodec: How many times as fast as TorchCodec cliptide is to be, or None.
        fastest: How many times as fast as the fastest of the others.
    """

    name: str
    paths: tuple[Path, ...]
    torchcodec: float | None
    fastest: float

    @property
    def everywhere(self) -> bool:
        """Whether it is timed beyond the first table; large videos in short groups take long."""
        return not (self.name.endswith("groups of 30") and "256p" not in self.name)

    @property
    def kbit_s(self) -> tuple[int, int]:
        """The lowest and the highest bit rate of the video streams, kbit/s."""
        rates = [_kbit_s(path) for path in self.paths]
        return min(rates), max(rates)


def video_sets(folder: Path, *, name_filter: str = "") -> Iterator[VideoSet]:
    """Generate the sets one after the other into a folder; real clips stay where they are.

    Args:
        folder: Where the generated files go.
        name_filter: Parts of names with commas between; sets that hold none of them are left out.
    """
    filters = [part.strip().lower() for part in name_filter.split(",")]
    for name, make, torchcodec, fastest in _recipes(folder):
        if any(part in name.lower() for part in filters):
            paths = make()
            if paths:
                yield VideoSet(name, tuple(paths), torchcodec, fastest)


Recipe = tuple[str, Callable[[], list[Path]], float | None, float]


def _recipes(folder: Path) -> Iterator[Recipe]:
    def generated(file: str, codec: str, size: tuple[int, int], **options: str) -> Callable:
        return lambda: [write_video(folder / file, codec, size, options)]

    for name, size in SIZES.items():
        whole = generated(f"h264-{name}.mp4", "libx264", size)
        short = generated(f"h264-{name}-g30.mp4", "libx264", size, g="30")
        yield f"H.264 {name}", whole, 1.4, 1.25
        yield f"H.264 {name}, groups of 30", short, 1.4, 1.25
    fight = sorted((SHARED / "fight").glob("*/*.mp4"))[::15]
    yield f"H.264 CCTV, {len(fight)} clips", lambda: fight, 1.4, 1.0

    small = (240, 320)  # UCF101's
    for group in ("12", "250"):
        make = generated(f"mpeg4-{group}.avi", "mpeg4", small, g=group, b="600k")
        yield f"MPEG-4 AVI, groups of {group}", make, 1.2, 1.05
    packed = folder / "mpeg4-packed.avi"
    yield "MPEG-4 AVI, B-frames packed", lambda: write_packed(packed, small), 1.2, 1.05
    yield (
        "MPEG-4 AVI, B-frames",
        generated("mpeg4-b.avi", "mpeg4", small, bf="2", b="600k"),
        1.2,
        1.05,
    )
    ucf101 = sorted((SHARED / "hard").glob("c3d__*.avi"))
    yield f"UCF101, {len(ucf101)} clips", lambda: ucf101, 1.2, 1.05

    size = SIZES["256p"]
    quiet = {"x265-params": "log-level=none"}
    yield "HEVC 256p", generated("hevc.mp4", "libx265", size, **quiet), None, 1.0
    options = {"b": "600k", "deadline": "good", "cpu-used": "4"}
    yield "VP9 256p", generated("vp9.webm", "libvpx-vp9", size, **options), None, 1.0
    yield "AV1 256p", generated("av1.mp4", "libsvtav1", size, preset="8"), None, 1.0


def moving_pictures(height: int, width: int, count: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures as a hand-held camera sees them, (height, width, 3) uint8 RGB.

    A background with the spectrum of natural scenes (amplitude falls as 1 / frequency) pans and
    trembles, textured things cross it, and a sensor's noise lies over all: so encoders find
    motion to predict, edges that appear, and residue to code, at bit rates that are usual.
    """
    rng = np.random.default_rng(0)
    margin = height // 4
    blur = height / 900  # more pixels see no sharper: lenses and hands do not let them
    background = _texture(rng, height + 2 * margin, width + 2 * margin, blur=blur)
    things = [_texture(rng, height // part, height // part, blur=blur) for part in (2, 3, 4, 5, 6)]
    noise = rng.normal(0, 2.0, (height + 64, width + 64, 1)).round().astype(np.int16)
    tremble = np.cumsum(rng.normal(0, 0.25, (count, 2)), axis=0)
    for number in range(count):
        turn = 2 * np.pi * number / count
        x = margin * (1 + 0.6 * np.sin(turn)) + tremble[number, 0]
        y = margin * (1 + 0.4 * np.cos(2 * turn)) + tremble[number, 1]
        centre = (x + (width - 1) / 2, y + (height - 1) / 2)
        picture = cv2.getRectSubPix(background, (width, height), centre)
        for which, thing in enumerate(things):
            edge = thing.shape[0]
            phase = turn * (1 + which % 3) + which
            left = int((width - edge) * (0.5 + 0.5 * np.sin(phase)))
            top = int((height - edge) * (0.5 + 0.5 * np.cos(1.3 * phase)))
            picture[top : top + edge, left : left + edge] = thing
        top, left = rng.integers(0, 64, 2)
        grain = noise[top : top + height, left : left + width]
        yield np.clip(picture + grain, 0, 255).astype(np.uint8)


def _texture(
    rng: np.random.Generator, height: int, width: int, *, blur: float
) -> NDArray[np.uint8]:
    """Noise whose amplitude falls as 1 / frequency, with a colour of its own."""
    across, down = np.fft.rfftfreq(width), np.fft.fftfreq(height)
    frequency = np.maximum(np.hypot(across, down[:, None]), 1 / width)
    layers = []
    for _ in range(2):
        spectrum = np.fft.rfft2(rng.normal(size=(height, width))) / frequency
        layer = np.fft.irfft2(spectrum, s=(height, width))
        layers.append(layer / layer.std())
    luma, tint = layers
    mean = rng.uniform(90, 160, 3)
    rgb = mean + 40 * luma[..., None] + 5 * tint[..., None] * rng.normal(size=3)
    soft = cv2.GaussianBlur(rgb, (0, 0), max(blur, 0.1))
    return np.clip(soft, 0, 255).astype(np.uint8)


def write_video(
    path: Path,
    codec: str,
    size: tuple[int, int],
    options: dict[str, str],
    *,
    num_frames: int = NUM_FRAMES,
) -> Path:
    """Encode moving pictures; the options are FFmpeg's."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(RATE_FPS), options=options)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for picture in moving_pictures(*size, num_frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_packed(path: Path, size: tuple[int, int]) -> list[Path]:
    """Encode as UCF101 was: Xvid, two pictures in one packet; nothing without such an FFmpeg.

    PyAV's wheels have no Xvid, and FFmpeg's own MPEG-4 encoder packs no B-frames.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return []
    height, width = size
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {RATE_FPS} -i -"
    target = "-c:v libxvid -bf 2 -b:v 600k -pix_fmt yuv420p"
    command = [program, "-v", "error", "-y", *source.split(), *target.split(), str(path)]
    pictures = b"".join(p.tobytes() for p in moving_pictures(*size, NUM_FRAMES))
    done = subprocess.run(command, input=pictures, capture_output=True, check=False)
    return [path] if done.returncode == 0 else []


def _kbit_s(path: Path) -> int:
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
        rate = container.streams.video[0].average_rate or RATE_FPS
    return round(sum(sizes) * 8 * float(rate) / len(sizes) / 1000)
