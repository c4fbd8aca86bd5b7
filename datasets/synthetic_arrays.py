"""Small files of numbers whose class is the ORDER of events: skeletons, and sensors.

Skeletons walk across and raise their arms and squat on the way. Every clip has the same in it:
each arm goes up and comes down, and the knees bend, each for one unit of time; a class says in
which order, or what at once. So the mean over time is the same for all classes:

    left_then_right     L S R        L, R  an arm goes up and comes down
    right_then_left     R S L        S     the knees bend and stretch
    both                LRS          side by side: one after another
    squat_then_raise    S LR
    raise_then_squat    LR S
    wave                l r l r l r, S in the middle; l, r  a third of L and R

Sensors have three columns, each of which rises and falls once; the class is which comes when.

Left and right are not to be mirrored here (data.flip false).
"""

import csv
import math
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pulse(NamedTuple):
    """What happens: which column or limb, when it begins and how long it lasts, in units."""

    what: str
    start: float
    length: float


_THIRD = 1 / 3
POSES: dict[str, tuple[Pulse, ...]] = {
    "both": (Pulse("left", 0, 1), Pulse("right", 0, 1), Pulse("squat", 0, 1)),
    "left_then_right": (Pulse("left", 0, 1), Pulse("squat", 1, 1), Pulse("right", 2, 1)),
    "raise_then_squat": (Pulse("left", 0, 1), Pulse("right", 0, 1), Pulse("squat", 1, 1)),
    "right_then_left": (Pulse("right", 0, 1), Pulse("squat", 1, 1), Pulse("left", 2, 1)),
    "squat_then_raise": (Pulse("squat", 0, 1), Pulse("left", 1, 1), Pulse("right", 1, 1)),
    "wave": (
        *(Pulse("left", 2 * time * _THIRD, _THIRD) for time in range(3)),
        *(Pulse("right", (2 * time + 1) * _THIRD, _THIRD) for time in range(3)),
        Pulse("squat", 0.5, 1),
    ),
}
# Nose, eyes and ears, from the middle of the shoulders, in shares of the height.
_FACE = ((0, -0.1), (0.02, -0.13), (-0.02, -0.13), (0.05, -0.12), (-0.05, -0.12))
COLUMNS = ("force", "heat", "light")
ORDERS: dict[str, tuple[Pulse, ...]] = {
    "_".join(order): tuple(Pulse(name, start, 1) for start, name in enumerate(order))
    for order in permutations(COLUMNS)
}


def write_skeleton_dataset(
    root: Path,
    *,
    groups: int = 10,
    clips_per_group: int = 4,
    num_rows: int = 72,
    seed: int = 0,
) -> Iterator[Path]:
    """Write skeletons as `root/class/v_class_gNN_cNN.npy`; yields each path once it is written.

    Each is (n, 17, 2) float32, the joint map coco17 in pixels, n from two thirds of `num_rows` up
    to it, NaN where a joint is missing. The proportions of the body belong to a group.
    """
    for path, label, group, rng in _files(root, tuple(POSES), groups, clips_per_group, seed, "npy"):
        body = Body.random(np.random.default_rng((seed, group)))
        count = int(rng.integers(num_rows * 2 // 3, num_rows + 1))
        np.save(path, skeleton_rows(label, num_rows=count, body=body, rng=rng))
        yield path


def write_sensor_dataset(
    root: Path,
    *,
    groups: int = 10,
    clips_per_group: int = 4,
    num_rows: int = 72,
    seed: int = 0,
) -> Iterator[Path]:
    """Write sensors as `root/class/v_class_gNN_cNN.csv`; yields each path once it is written.

    Columns are time_s (seconds, uneven, about 20 rows a second), force, heat and light; cells are
    empty where a number is missing. Gain and offset of the sensors belong to a group.
    """
    for path, label, group, rng in _files(
        root, tuple(ORDERS), groups, clips_per_group, seed, "csv"
    ):
        device = np.random.default_rng((seed, group))
        gain, offset = device.uniform(2, 4, 3), device.uniform(-2, 2, 3)
        count = int(rng.integers(num_rows * 2 // 3, num_rows + 1))
        amounts = _amounts(ORDERS[label], count, rng)
        rows = np.stack([amounts[name] for name in COLUMNS], axis=1) * gain + offset
        rows += rng.normal(0, 0.1, rows.shape)
        times_s = np.cumsum(rng.uniform(0.04, 0.06, count))
        rows[rng.random(rows.shape) < 0.02] = np.nan
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time_s", *COLUMNS])
            for time_s, row in zip(times_s, rows, strict=True):
                cells = ["" if np.isnan(value) else f"{value:.4f}" for value in row]
                writer.writerow([f"{time_s:.4f}", *cells])
        yield path


class Body(NamedTuple):
    """Lengths of a stick figure, in shares of its height."""

    torso: float
    shoulders: float
    hips: float
    arm: float
    leg: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Body":
        """Draw the proportions of a person."""
        usual = (0.3, 0.11, 0.08, 0.16, 0.24)  # arm and leg: of their upper and lower half each
        torso, shoulders, hips, arm, leg = (size * rng.uniform(0.85, 1.15) for size in usual)
        return cls(torso, shoulders, hips, arm, leg)


def skeleton_rows(
    label: str, *, num_rows: int, body: Body, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a clip of a class of `POSES`.

    Returns:
        (num_rows, 17, 2) float32: x and y (down) in pixels, NaN where a joint is missing.
    """
    amounts = _amounts(POSES[label], num_rows, rng)
    gait = 2 * math.pi * (rng.random() + np.arange(num_rows) * rng.uniform(0.04, 0.08))
    figure = _figure(body, amounts, np.asarray(gait, np.float64))
    size = rng.uniform(80, 240)
    across = np.linspace(-0.5, 0.5, num_rows) * rng.uniform(-1.5, 1.5)
    figure[:, :, 0] += across[:, None]
    figure += rng.normal(0, 0.008, figure.shape)
    rows = figure * size + rng.uniform(150, 450, 2)
    rows[rng.random((num_rows, 17)) < 0.02] = np.nan
    # One joint is out of sight for a while.
    start = int(rng.integers(num_rows))
    rows[start : start + num_rows // 6, int(rng.integers(17))] = np.nan
    return np.asarray(rows, np.float32)


def _figure(
    body: Body, amounts: dict[str, NDArray[np.float64]], gait: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, 17, 2): a person of height 1 about the hips, who faces us and walks."""
    count = len(gait)
    joints = np.zeros((count, 17, 2))
    # Knees that bend let all above the ankles down, the hips by twice the knees.
    down = 0.5 * body.leg * amounts["squat"]
    for side, (name, sign) in enumerate((("left", 1.0), ("right", -1.0))):
        hip, shoulder = joints[:, 11 + side], joints[:, 5 + side]
        hip[:] = np.stack([np.full(count, sign * body.hips), 2 * down], axis=1)
        shoulder[:] = np.stack([np.full(count, sign * body.shoulders), 2 * down - body.torso], 1)
        # From hanging down (0) to straight up (pi), away from the body.
        angle = 0.15 + 0.9 * math.pi * amounts[name]
        limb = body.arm * np.stack([sign * np.sin(angle), np.cos(angle)], axis=1)
        joints[:, 7 + side] = shoulder + limb
        joints[:, 9 + side] = shoulder + 2 * limb
        lift = 0.25 * body.leg * np.maximum(0, sign * np.sin(gait))
        joints[:, 13 + side, 0] = sign * body.hips * (1 + 0.5 * amounts["squat"])
        joints[:, 13 + side, 1] = body.leg + down - lift
        joints[:, 15 + side, 0] = sign * body.hips
        joints[:, 15 + side, 1] = 2 * body.leg - lift
    joints[:, :5] = (joints[:, 5:6] + joints[:, 6:7]) / 2 + np.array(_FACE)
    return joints


def _amounts(
    pulses: tuple[Pulse, ...], num_rows: int, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """How far along each thing is in each row (n,), 0..1; what happens begins at a random time.

    A unit is a share of the rows drawn in the same way for all classes, and each thing lasts a
    unit in each class: its mean over the rows tells nothing.
    """
    unit = num_rows * rng.uniform(0.22, 0.3)
    extent = max(pulse.start + pulse.length for pulse in pulses) * unit
    begin = rng.uniform(0, num_rows - extent)
    rows = np.arange(num_rows)
    amounts: dict[str, NDArray[np.float64]] = {}
    for what, start, length in pulses:
        share = np.clip((rows - begin - start * unit) / (length * unit), 0, 1)
        amounts[what] = amounts.get(what, np.zeros(num_rows)) + np.sin(math.pi * share) ** 2
    return amounts


def _files(
    root: Path, labels: tuple[str, ...], groups: int, clips: int, seed: int, suffix: str
) -> Iterator[tuple[Path, str, int, np.random.Generator]]:
    """Path, label, group and draw of each file."""
    for group in range(groups):
        for number, label in enumerate(labels):
            for clip in range(clips):
                path = root / label / f"v_{label}_g{group + 1:02d}_c{clip + 1:02d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                yield path, label, group, np.random.default_rng((seed, group, number, clip))
