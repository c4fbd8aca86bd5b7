"""Small sounds, and videos with sound, whose class is the ORDER of events: for demo and tests.

Pitch, loudness, noise and the moment of the events are drawn for each clip, so that no single
moment and no average over time tells classes apart that hold the same events in another order.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.synthetic import clip_frames, random_look

Samples = NDArray[np.float32]

RATE = 16000
FPS = 12
_EVENT_S = 0.9
_CODECS = {
    ".wav": "pcm_s16le",
    ".m4a": "aac",
    ".mp4": "aac",
    ".mkv": "libopus",
    ".avi": "pcm_s16le",
}


def _phase(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * np.pi * np.cumsum(hz) / RATE


def _swelling(count: int) -> NDArray[np.float64]:
    """Loudness that begins and ends softly, so that no click betrays an edge."""
    edge = min(count // 2, RATE // 50)
    return np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / edge)


def _chirp(hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
    count = round(_EVENT_S * rng.uniform(0.8, 1.0) * RATE)
    swept = hz * 3.0 ** np.linspace(0, 1, count)
    return np.sin(_phase(swept)) * _swelling(count)


def _two_tones(hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
    count = round(_EVENT_S * rng.uniform(0.8, 1.0) * RATE / 2)
    tones = [np.sin(_phase(np.full(count, each))) * _swelling(count) for each in (hz, 2.2 * hz)]
    return np.concatenate(tones)


def _beats(number: int) -> Callable[[float, np.random.Generator], NDArray[np.float64]]:
    def draw(hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
        beat = round(0.12 * RATE)
        sound = np.sin(_phase(np.full(beat, hz))) * np.exp(-np.arange(beat) / (0.03 * RATE))
        gap = np.zeros(round(rng.uniform(0.12, 0.2) * RATE))
        return np.concatenate([sound, gap] * number)

    return draw


# What is drawn, and whether it is played backwards.
_EVENTS: dict[str, tuple[Callable[[float, np.random.Generator], NDArray[np.float64]], bool]] = {
    "falling": (_chirp, True),
    "high_low": (_two_tones, True),
    "low_high": (_two_tones, False),
    "rising": (_chirp, False),
    "three_beat": (_beats(3), False),
    "two_beat": (_beats(2), False),
}
SOUND_CLASSES = tuple(_EVENTS)


def clip_sound(label: str, *, duration_s: float, rng: np.random.Generator) -> Samples:
    """Draw a sound of a class.

    Args:
        label: One of `SOUND_CLASSES`.
        duration_s: Its length, seconds; 1 or more.
        rng: Draws pitch, loudness, noise and when the events begin.

    Returns:
        (n,) float32 from -1 to 1, `RATE` samples a second.
    """
    draw, backwards = _EVENTS[label]
    events = draw(float(rng.uniform(300, 900)), rng)
    if backwards:
        events = events[::-1]
    samples = rng.standard_normal(round(duration_s * RATE))
    # Noise of a random colour, between white and rumbling.
    samples += rng.uniform(0, 4) * np.convolve(samples, np.ones(32) / 32, "same")
    samples *= rng.uniform(0.005, 0.05) / samples.std()
    begin = int(rng.integers(0, len(samples) - len(events) + 1))
    samples[begin : begin + len(events)] += events * rng.uniform(0.15, 0.6)
    return samples.clip(-1, 1).astype(np.float32)


def write_sound(
    path: Path,
    samples: Samples,
    *,
    frames: NDArray[np.uint8] | None = None,
    rate: int = RATE,
    fps: int = FPS,
    sound_codec: str | None = None,
    video_codec: str = "libx264",
    sound_from_s: float = 0.0,
    picture_from_s: float = 0.0,
) -> None:
    """Write sound, or a video with sound.

    Args:
        path: The file; its ending names the container.
        samples: (n,) float32 from -1 to 1, or (channels, n).
        frames: (N, H, W, 3) uint8 RGB, with even H and W.
        rate: Samples a second.
        fps: Frames a second.
        sound_codec: FFmpeg's name; None takes what is usual for the ending.
        video_codec: FFmpeg's name.
        sound_from_s: Stamp of the first sample, seconds.
        picture_from_s: Stamp of the first frame, seconds.
    """
    channels = np.atleast_2d(samples)
    layout = {1: "mono", 2: "stereo", 6: "5.1", 7: "6.1", 8: "7.1"}[len(channels)]
    with av.open(str(path), "w") as container:
        picture: av.VideoStream | None = None
        if frames is not None:
            # See `synthetic.write_video` for the options.
            options = {"preset": "veryfast", "crf": "20", "mbtree": "0"}
            added = container.add_stream(video_codec, rate=fps, options=options)
            assert isinstance(added, av.VideoStream)
            picture = added
            picture.codec_context.thread_count = 1
            picture.height, picture.width = frames.shape[1:3]
            picture.pix_fmt = "yuv420p"
        codec = sound_codec or _CODECS[path.suffix.lower()]
        sound = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(sound, av.AudioStream)
        # One plane for all channels: PyAV 18 miscounts planes from eight on.
        block = av.AudioFrame.from_ndarray(channels.T.reshape(1, -1), format="flt", layout=layout)
        block.sample_rate, block.time_base = rate, Fraction(1, rate)
        block.pts = round(sound_from_s * rate)
        container.mux(sound.encode(block))
        container.mux(sound.encode(None))
        if frames is None or picture is None:
            return
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base = Fraction(1, fps)
            frame.pts = number + round(picture_from_s * fps)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))


def write_sound_dataset(
    root: Path,
    *,
    groups: int = 10,
    clips_per_group: int = 4,
    classes: Sequence[str] = SOUND_CLASSES,
    duration_s: float = 1.5,
    ending: str = ".wav",
    seed: int = 0,
) -> Iterator[Path]:
    """Write sounds as `root/class/v_class_gNN_cNN.wav`; yields each path once it is written.

    Args:
        root: The data set's folder.
        groups: Groups of clips, each with all classes.
        clips_per_group: Clips of a class in a group.
        classes: Some of `SOUND_CLASSES`.
        duration_s: Of the longest clip, seconds; the shortest has three quarters of it.
        ending: `.wav` or `.m4a`.
        seed: Of all that is drawn.
    """
    for group, label, clip in product(range(groups), classes, range(clips_per_group)):
        path = root / label / f"v_{label}_g{group + 1:02d}_c{clip + 1:02d}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng((seed, group, SOUND_CLASSES.index(label), clip))
        length_s = float(duration_s * rng.uniform(0.75, 1.0))
        write_sound(path, clip_sound(label, duration_s=max(1.0, length_s), rng=rng))
        yield path


# Motion and sound: each is one of a pair that is the other backwards.
SOUND_AND_PICTURE = (("fall", "rise"), ("high_low", "low_high"))
SOUND_AND_PICTURE_CLASSES = tuple("-".join(pair) for pair in product(*SOUND_AND_PICTURE))


def write_sound_and_picture_dataset(
    root: Path,
    *,
    groups: int = 10,
    clips_per_group: int = 4,
    num_frames: int = 18,
    side: int = 64,
    seed: int = 0,
) -> Iterator[Path]:
    """Write videos (H.264 and AAC) of four classes that need both streams to be told apart.

        fall-high_low   fall-low_high      these two differ in sound alone, as do the two below
        rise-high_low   rise-low_high      above and below differ in picture alone

    The classes are the four pairs of a motion and a sound, equally frequent, and all else is drawn
    alike for all. So the picture tells which two of the four it may be and nothing of which, and
    the sound likewise: either alone is right in 0.50 of the clips at best (1 of 2), both together
    in all; a single frame, or the average over time, in 0.25.

    Written as `root/class/v_class_gNN_cNN.mp4`; yields each path once it is written.
    """
    cells = product(range(groups), enumerate(product(*SOUND_AND_PICTURE)), range(clips_per_group))
    for group, (number, (motion, sound)), clip in cells:
        look = random_look(np.random.default_rng((seed, group)))
        label = f"{motion}-{sound}"
        path = root / label / f"v_{label}_g{group + 1:02d}_c{clip + 1:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng((seed, group, number, clip))
        length = int(rng.integers(num_frames * 3 // 4, num_frames + 1))
        frames = clip_frames(motion, num_frames=length, side=side, look=look, rng=rng)
        samples = clip_sound(sound, duration_s=length / FPS, rng=rng)
        write_sound(path, samples, frames=frames)
        yield path
