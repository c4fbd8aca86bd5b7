"""Small real videos whose class is the ORDER of events: for the demo and for tests.

Four pairs of classes that are each other played backwards. Every clip is drawn forwards and then
turned round or not, background and all, so no single frame, and no bag of frames, tells a pair
apart. Shape, colours and background belong to a group, which is what a split must not tear.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Colour = tuple[int, int, int]

# Class that plays a motion forwards, class that plays it backwards.
PAIRS = (("rise", "fall"), ("grow", "shrink"), ("open", "close"), ("clockwise", "anticlockwise"))
CLASS_NAMES = tuple(sorted(name for pair in PAIRS for name in pair))


@dataclass(frozen=True)
class Look:
    """What the clips of a group share."""

    shape: str
    colour: Colour
    texture: NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """What belongs to one clip: place and size in shares of the frame, drift in pixels a frame."""

    centre: tuple[float, float]
    radius: float
    angle: float
    drift: tuple[float, float]


def draw_shape(
    image: Frame, shape: str, centre: tuple[float, float], radius: float, colour: Colour
) -> None:
    """Draw a disc, a square or a triangle into an image; place and size in pixels."""
    x, y, r = round(centre[0]), round(centre[1]), max(1, round(radius))
    if shape == "disc":
        cv2.circle(image, (x, y), r, colour, -1, cv2.LINE_AA)
    elif shape == "square":
        cv2.rectangle(image, (x - r, y - r), (x + r, y + r), colour, -1)
    else:
        points = [(x, y - r), (x - r, y + r), (x + r, y + r)]
        cv2.fillPoly(image, [np.array(points, np.int32)], colour, cv2.LINE_AA)


def _rise(image: Frame, at: float, scene: Scene, look: Look) -> None:
    side = len(image)
    y = side * (0.85 - 0.7 * at)
    draw_shape(image, look.shape, (side * scene.centre[0], y), side * scene.radius, look.colour)


def _grow(image: Frame, at: float, scene: Scene, look: Look) -> None:
    side = len(image)
    centre = (side * scene.centre[0], side * scene.centre[1])
    draw_shape(image, look.shape, centre, side * (0.06 + 0.3 * at), look.colour)


def _open(image: Frame, at: float, scene: Scene, look: Look) -> None:
    side = len(image)
    gap, y, thick = side * 0.4 * at, side * scene.centre[1], side * scene.radius
    middle = side * 0.5
    for x in (middle - gap - thick, middle + gap + thick):
        corner = (round(x - thick), round(y - side * 0.25))
        cv2.rectangle(image, corner, (round(x + thick), round(y + side * 0.25)), look.colour, -1)


def _clockwise(image: Frame, at: float, scene: Scene, look: Look) -> None:
    side = len(image)
    angle = scene.angle + 1.5 * math.pi * at  # y points down: a rising angle turns clockwise
    centre = (side * (0.5 + 0.3 * math.cos(angle)), side * (0.5 + 0.3 * math.sin(angle)))
    cv2.circle(image, (side // 2, side // 2), max(1, side // 24), look.colour, -1, cv2.LINE_AA)
    draw_shape(image, look.shape, centre, side * scene.radius, look.colour)


MOTIONS: dict[str, Callable[[Frame, float, Scene, Look], None]] = {
    "rise": _rise,
    "grow": _grow,
    "open": _open,
    "clockwise": _clockwise,
}


def random_look(rng: np.random.Generator) -> Look:
    """Draw shape, colour and background of a group."""
    coarse = rng.integers(40, 140, (6, 6, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC)
    bright = rng.permutation([255, int(rng.integers(150, 256)), int(rng.integers(0, 120))])
    red, green, blue = (int(value) for value in bright)
    shape = str(rng.choice(["disc", "square", "triangle"]))
    return Look(shape, (red, green, blue), np.asarray(texture, np.uint8))


def _random_scene(rng: np.random.Generator) -> Scene:
    x, y = rng.uniform(0.4, 0.6, 2)
    drift_x, drift_y = rng.uniform(-2.0, 2.0, 2)
    radius, angle = rng.uniform(0.09, 0.13), rng.uniform(0, 2 * math.pi)
    return Scene(
        (float(x), float(y)), float(radius), float(angle), (float(drift_x), float(drift_y))
    )


def clip_frames(
    label: str, *, num_frames: int, side: int, look: Look, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw a clip of a class.

    Returns:
        (num_frames, side, side, 3) uint8 RGB.
    """
    forwards, backwards = next(pair for pair in PAIRS if label in pair)
    scene = _random_scene(rng)
    origin = rng.integers(64, 256 - 64 - side, 2) if side < 128 else np.array([0, 0])
    frames = []
    for number in range(num_frames):
        at = number / max(1, num_frames - 1)
        top = origin[0] + scene.drift[0] * number
        left = origin[1] + scene.drift[1] * number
        shift = np.array([[1, 0, -left], [0, 1, -top]], np.float64)
        image = np.asarray(
            cv2.warpAffine(look.texture, shift, (side, side), borderMode=cv2.BORDER_REFLECT_101),
            np.uint8,
        )
        MOTIONS[forwards](image, at, scene, look)
        frames.append(image)
    return np.stack(frames[::-1] if label == backwards else frames)


def write_video(path: Path, frames: NDArray[np.uint8], *, fps: int = 12) -> None:
    """Encode frames (N, H, W, 3) uint8 RGB, with even H and W, as H.264."""
    with av.open(str(path), "w") as container:
        # The same frames must give the same file: x264's macroblock tree was seen to give other
        # bits from run to run, and other numbers of threads do so by design.
        options = {"preset": "veryfast", "crf": "20", "mbtree": "0"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.codec_context.thread_count = 1
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_dataset(
    root: Path,
    *,
    groups: int = 10,
    clips_per_group: int = 4,
    num_frames: int = 24,
    side: int = 64,
    seed: int = 0,
    write: Callable[[Path, NDArray[np.uint8]], None] = write_video,
    ending: str = ".mp4",
) -> Iterator[Path]:
    """Write videos as `root/class/v_class_gNN_cNN.mp4`; yields each path once it is written.

    `write` and `ending` write the same clips as something else.

    The last three tenths of the groups, at least one, are the test split of
    `root/ucfTrainTestlist`, which is written last.
    """
    test_from = groups - max(1, round(groups * 0.3))
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for group in range(groups):
        look = random_look(np.random.default_rng((seed, group)))
        for number, label in enumerate(CLASS_NAMES):
            for clip in range(clips_per_group):
                path = root / label / f"v_{label}_g{group + 1:02d}_c{clip + 1:02d}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng((seed, group, number, clip))
                # Lengths differ, as they do in life; the network must not mind.
                length = int(rng.integers(num_frames * 3 // 4, num_frames + 1))
                frames = clip_frames(label, num_frames=length, side=side, look=look, rng=rng)
                write(path, frames)
                line = f"{label}/{path.name}"
                if group < test_from:
                    lists["train"].append(f"{line} {number + 1}")
                else:
                    lists["test"].append(line)
                yield path
    folder = root / "ucfTrainTestlist"
    folder.mkdir(exist_ok=True)
    index = "".join(f"{number + 1} {name}\n" for number, name in enumerate(CLASS_NAMES))
    (folder / "classInd.txt").write_text(index, encoding="utf-8")
    for split, lines in lists.items():
        (folder / f"{split}list01.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_new_video(
    path: Path, label: str, *, num_frames: int = 24, side: int = 64, seed: int = 1
) -> None:
    """Write one video of a class in a look that no group of `write_dataset` has."""
    rng = np.random.default_rng((seed, 999_983))
    frames = clip_frames(label, num_frames=num_frames, side=side, look=random_look(rng), rng=rng)
    write_video(path, frames)


def write_long_video(
    path: Path,
    labels: Sequence[str],
    *,
    repeats: int = 3,
    num_frames: int = 24,
    side: int = 64,
    fps: int = 12,
    seed: int = 1,
) -> list[tuple[float, float, str]]:
    """Write one video in which each of the labels happens a few times in a row.

    Returns:
        Where each begins and ends, seconds, and its label.
    """
    look = random_look(np.random.default_rng((seed, 1_000_000)))
    parts, segments, shown = [], [], 0
    for number, label in enumerate(labels):
        before = shown
        for repeat in range(repeats):
            rng = np.random.default_rng((seed, number, repeat))
            length = int(rng.integers(num_frames * 3 // 4, num_frames + 1))
            parts.append(clip_frames(label, num_frames=length, side=side, look=look, rng=rng))
            shown += length
        segments.append((before / fps, shown / fps, label))
    write_video(path, np.concatenate(parts), fps=fps)
    return segments
