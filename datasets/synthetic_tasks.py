"""Small real videos with a manifest for two tasks: how fast a shape moves, and which events occur.

Speed: a bright shape moves to the left or to the right, from any place; the label is how far it
goes in a second, as a share of the frame's side. No single frame shows it.

Events: in each clip stand a disc and a square, and one to three of five things happen: the disc
rises or falls, the square grows or shrinks, the background flashes.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.synthetic import Look, draw_shape, random_look, write_video

FPS = 12
SLOWEST, FASTEST = 0.1, 0.7
EVENTS = ("fall", "flash", "grow", "rise", "shrink")


def speed_frames(
    speed: float, *, num_frames: int, side: int, look: Look, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw a shape that moves to the left or to the right.

    Args:
        speed: Sides of the frame a second.
        num_frames: Frames of the clip, `FPS` a second.
        side: Pixels.
        look: Shape and background; its colour is shown as grey of the same strength.
        rng: Draws place, direction and size.

    Returns:
        (num_frames, side, side, 3) uint8 RGB.
    """
    way = speed * (num_frames - 1) / FPS * float(rng.choice([-1.0, 1.0]))
    # The middle of the way is drawn so that the shape never leaves the frame.
    room = max(0.0, 0.5 - 0.12 - abs(way) / 2)
    middle, height = 0.5 + rng.uniform(-room, room), rng.uniform(0.15, 0.85)
    radius = side * float(rng.uniform(0.08, 0.11))
    strength = max(200, min(look.colour))
    frames = []
    for number in range(num_frames):
        at = number / max(1, num_frames - 1) - 0.5
        image = _background(look, side) // 3
        centre = (float(middle + at * way) * side, float(height) * side)
        draw_shape(image, look.shape, centre, radius, (strength,) * 3)
        frames.append(image)
    return np.stack(frames)


def event_frames(
    events: Sequence[str], *, num_frames: int, side: int, look: Look, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw a disc and a square, and what happens to them.

    Args:
        events: Some of `EVENTS`; not both rise and fall, nor both grow and shrink.
        num_frames: Frames of the clip.
        side: Pixels.
        look: Colour and background.
        rng: Draws places and the moment of the flash.

    Returns:
        (num_frames, side, side, 3) uint8 RGB.
    """
    disc_x, square_x = rng.uniform(0.2, 0.3), rng.uniform(0.66, 0.74)
    disc_y, square_size = rng.uniform(0.25, 0.75), rng.uniform(0.08, 0.2)
    flash_at = int(rng.integers(num_frames // 4, num_frames * 3 // 4))
    frames = []
    for number in range(num_frames):
        at = number / max(1, num_frames - 1)
        image = _background(look, side)
        if "flash" in events and number in (flash_at, flash_at + 1):
            image = np.asarray(cv2.add(image, np.full_like(image, 110)), np.uint8)
        y = 0.85 - 0.7 * at if "rise" in events else 0.15 + 0.7 * at
        y = y if {"rise", "fall"} & set(events) else disc_y
        draw_shape(image, "disc", (side * disc_x, side * y), side * 0.1, look.colour)
        size = 0.05 + 0.18 * (at if "grow" in events else 1 - at)
        size = size if {"grow", "shrink"} & set(events) else square_size
        draw_shape(image, "square", (side * square_x, side * 0.5), side * size, look.colour)
        frames.append(image)
    return np.stack(frames)


def _background(look: Look, side: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(look.texture[64 : 64 + side, 64 : 64 + side])


def _random_events(rng: np.random.Generator) -> list[str]:
    while True:
        drawn = (
            str(rng.choice(["", "rise", "fall"])),
            str(rng.choice(["", "grow", "shrink"])),
            str(rng.choice(["", "flash"])),
        )
        if found := [event for event in drawn if event]:
            return found


def write_speed_dataset(
    root: Path,
    *,
    groups: int = 36,
    clips_per_group: int = 8,
    num_frames: int = 10,
    side: int = 48,
    seed: int = 0,
) -> Iterator[Path]:
    """Write videos and `root/speeds.csv`; yields each video's path once it is written.

    A group shares shape and background.
    """
    rows = []
    for group in range(groups):
        look = random_look(np.random.default_rng((seed, group)))
        for clip in range(clips_per_group):
            rng = np.random.default_rng((seed, group, clip))
            speed = float(rng.uniform(SLOWEST, FASTEST))
            frames = speed_frames(speed, num_frames=num_frames, side=side, look=look, rng=rng)
            path = _written(root, f"g{group + 1:02d}_c{clip + 1:02d}.mp4", frames)
            rows.append((path.name, f"{speed:.4f}", f"g{group + 1:02d}"))
            yield path
    _write_manifest(root / "speeds.csv", rows)


def write_event_dataset(
    root: Path,
    *,
    groups: int = 20,
    clips_per_group: int = 8,
    num_frames: int = 10,
    side: int = 32,
    seed: int = 0,
) -> Iterator[Path]:
    """Write videos and `root/events.csv`, labels such as `grow|rise`; yields each path.

    A group shares colour and background.
    """
    rows = []
    for group in range(groups):
        look = random_look(np.random.default_rng((seed, group)))
        for clip in range(clips_per_group):
            rng = np.random.default_rng((seed, group, clip))
            events = _random_events(rng)
            frames = event_frames(events, num_frames=num_frames, side=side, look=look, rng=rng)
            path = _written(root, f"g{group + 1:02d}_c{clip + 1:02d}.mp4", frames)
            rows.append((path.name, "|".join(sorted(events)), f"g{group + 1:02d}"))
            yield path
    _write_manifest(root / "events.csv", rows)


def _written(root: Path, name: str, frames: NDArray[np.uint8]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    write_video(root / name, frames, fps=FPS)
    return root / name


def _write_manifest(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
