"""Optical flow as pictures: where the content of each pixel moves to from frame to frame.

    red      pixels across, 128 for none, above it to the right
    green    pixels down, 128 for none, above it downwards
    blue     how far, 0 for none

Motion of up to an eighth of the frame's height has 127 steps each way; what is faster counts as
that. The steps are fine where motion is slow: code = asinh(16 * motion / bound) / asinh(16). On
the demo's videos (64x64, bound 8 px) the mean error of this rounding was, in pixels,

    motion of         0.05 to 0.5    0.5 to 2      above 2     bytes of a frame (PNG)
    even steps          0.0154        0.0157       0.0155        2000
    square root         0.0055        0.0114       0.0191        2500
    asinh, 16           0.0039        0.0083       0.0202        2600
    asinh, 64           0.0028        0.0106       0.0276        2700

and on filmed videos at 128x171 (bound 16 px)

    even steps          0.034         0.031        0.031         3000
    square root         0.007         0.015        0.026         9800
    asinh, 16           0.007         0.010        0.020         6100
    asinh, 64           0.003         0.009        0.027         8600

The method itself errs by 0.02 to 0.03 px. A square root is infinitely steep at no motion, so it
turns the camera's noise into patterns that fill half of its codes; asinh does not.

The third channel follows from the other two, so that only these, the codes, need be kept.

Films turned into video, webcams and re-encodings repeat frames: flow of those pairs would be empty
at random. A frame that is repeated therefore has the flow of the next pair that differs. A pair's
change is that of luma, on average, in the 8 x 8 block that changes most: repeats that went through
a codec change by 0 to 3 grey levels there, small motion by 5 and more, while means over whole
frames overlap. A pair is a repeat where a later one changes several times as much: that holds at
any size and noise, and a scene that stands still, or moves evenly, has no such pair.
Nineteen clips without repeats, repeated in five rhythms and encoded again, gave at 128x171

    threshold                        repeats found    moving pairs taken for them
                                     H.264 crf 23, crf 30, MPEG-4 900 kbit/s
    mean over the frame below 0.25   0.99  0.61  0.79     0.07  0.16  0.03
    most in a block below 4          1.00  0.63  0.98     0.02  0.06  0.01
    4 times as much in a later one   0.99  0.75  0.98     0.02  0.04  0.02

and at 48x48, where motion changes less,

    threshold
    mean over the frame below 0.25   1.00  0.70  0.83     0.09  0.21  0.08
    most in a block below 4          1.00  1.00  1.00     0.33  0.41  0.33
    4 times as much in a later one   0.94  0.66  0.93     0.04  0.05  0.03

Steps at 128x171 in which nothing moves by 0.1 px were 21 % in surveillance clips (Akti et al.
2019) and are 3 % so; in two clips of UCF101, 39 % and 40 %, and are 1 % and 0 %.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

FlowMethod = Literal["dis", "farneback"]
Codes = NDArray[np.uint8]

STILL = 128
STEPS = 127
BOUND_OF_HEIGHT = 1 / 8
STEEPNESS = 16.0
# DIS refuses less than 12; at 16 it still finds shifts within 0.1 px.
LEAST_SIDE = 16
# How many pairs further on motion is looked for: frames shown five times over, 6 a second in 30.
AHEAD = 4
# In one motion the change from pair to pair varies less than so many times.
TIMES_A_REPEAT = 4
# Grey levels: what changes more is no repeat, however much a cut or a jolt changes behind it ...
MOST_OF_A_REPEAT = 8.0
# ... and what changes less is a codec at work.
LEAST_OF_A_MOTION = 0.5
BLOCK = 8
# Up to here OpenCV itself picks scales that suit small pictures.
SMALL_SIDE = 90


def flow_codes(
    frames: NDArray[np.uint8], *, method: FlowMethod, starts: Sequence[int] | None = None
) -> Codes:
    """Compute flow from frames to the ones behind them, or of the next motion behind repeats.

    Args:
        frames: (m, H, W, 3) uint8 RGB; height and width 16 or more. Behind each start there must
            follow, in order, as many as the video has of the next 1 + AHEAD frames.
        method: `dis` (Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016) or
            `farneback` (Two-Frame Motion Estimation Based on Polynomial Expansion, 2003).
        starts: n rows of `frames` to begin from, each below m - 1; None takes all of them.

    Returns:
        (n, H, W, 2) uint8, 1..255: x and y as the first two channels of a picture. The same on
        any number of threads.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    chosen = range(len(frames) - 1) if starts is None else starts
    height, width = frames.shape[1:3]
    codes = np.empty((len(chosen), height, width, 2), np.uint8)
    changes: dict[int, float] = {}
    row_of: dict[int, int] = {}
    flow: Any = np.zeros((height, width, 2), np.float32)
    for row, start in enumerate(chosen):
        at = _next_motion(grey, start, changes)
        if at in row_of:
            codes[row] = codes[row_of[at]]
            continue
        row_of[at] = row
        if method == "dis":
            # Anew each time: an object keeps the scales that it picked for a small picture, and
            # gives other numbers from the second pair on.
            flow = _dis(height, width).calc(grey[at], grey[at + 1], None)
        else:
            # 3 levels of a half each, window 15, 3 rounds, polynomials over 5 px, sigma 1.2: the
            # values of OpenCV's own example.
            flow = cv2.calcOpticalFlowFarneback(
                grey[at], grey[at + 1], flow, 0.5, 3, 15, 3, 5, 1.2, 0
            )
        share = np.clip(flow / np.float32(height * BOUND_OF_HEIGHT), -1, 1)
        bent = np.arcsinh(share * np.float32(STEEPNESS)) / np.float32(np.arcsinh(STEEPNESS))
        codes[row] = np.rint(bent * STEPS) + STILL
    return codes


def _next_motion(grey: Sequence[NDArray[np.uint8]], start: int, changes: dict[int, float]) -> int:
    """The first of a pair of frames that moves: `start` itself, or behind it where it repeats."""
    for at in range(start, min(start + 1 + AHEAD, len(grey) - 1)):
        if at not in changes:
            changes[at] = _change(grey[at], grey[at + 1])
        if changes[start] >= MOST_OF_A_REPEAT:
            return start
    pairs = [at for at in range(start, start + 1 + AHEAD) if at in changes]
    # What changes least of all pairs that move as the fastest does.
    least = min(max(changes[at] for at in pairs) / TIMES_A_REPEAT, MOST_OF_A_REPEAT)
    if least < LEAST_OF_A_MOTION:
        return start
    return next(at for at in pairs if changes[at] >= least)


def _change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean change of luma, grey levels, in the block of two pictures (H, W) that changes most."""
    height, width = one.shape
    blocks = (width // BLOCK, height // BLOCK)
    change = cv2.absdiff(one, other).astype(np.float32)
    return float(cv2.resize(change, blocks, interpolation=cv2.INTER_AREA).max())


def _dis(height: int, width: int) -> Any:
    """DIS by its preset FAST, down to half the resolution.

    The preset alone stops at a quarter on sides above 90: 0.06 to 0.10 px of error on known
    shifts at 128x128, against 0.02 to 0.03 so, for 1.8 ms in place of 0.4. ULTRAFAST down to a
    half takes 0.7 ms and is as exact on even shifts, but smooths nothing (no variational
    refinement), and reading the frames costs as much again.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    if max(height, width) > SMALL_SIDE:
        dis.setFinestScale(1)
    return dis


def pictures_of(codes: Codes) -> NDArray[np.uint8]:
    """Make pictures (n, H, W, 3) uint8 of codes (n, H, W, 2)."""
    strength = _strengths()[codes[..., 0], codes[..., 1]]
    return np.concatenate([codes, strength[..., None]], axis=-1)


def still_codes(count: int, size: tuple[int, int]) -> Codes:
    """Codes (count, height, width, 2) of no motion."""
    return np.full((count, *size, 2), STILL, np.uint8)


def mirrored(flow: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirror pictures (n, H, W, 3) left to right, motion too: what went left goes right."""
    turned = flow[:, :, ::-1].copy()
    # In uint8 a change of sign is 256 - x, so 128 remains.
    np.negative(turned[..., 0], out=turned[..., 0])
    return turned


def drawn(flow: NDArray[np.uint8], *, height: int) -> NDArray[np.uint8]:
    """Draw pictures (n, H, W, 3) on the colour wheel: hue for direction, brightness for strength.

    Returns:
        (n, height, width, 3) uint8 RGB in the proportions given; black does not move, red goes
        right, yellow-green down, cyan left, violet up.
    """
    across, down = np.moveaxis(_shares()[flow[..., :2]], -1, 0)
    hue = np.rint(np.arctan2(down, across) * (90 / np.pi)) % 180  # OpenCV halves degrees
    full = np.full_like(flow[..., 2], 255)
    wheel = np.stack([hue.astype(np.uint8), full, flow[..., 2]], axis=-1)
    size = (max(1, round(height * flow.shape[2] / flow.shape[1])), height)
    shown = np.empty((len(flow), size[1], size[0], 3), np.uint8)
    for row, picture in enumerate(wheel):
        cv2.resize(cv2.cvtColor(picture, cv2.COLOR_HSV2RGB), size, dst=shown[row])
    return shown


@cache
def _shares() -> NDArray[np.float32]:
    """Motion as a share of the bound, -1..1, of each code (256,)."""
    steps = np.clip((np.arange(256) - STILL) / STEPS, -1, 1)
    shares = np.sinh(steps * np.arcsinh(STEEPNESS)) / STEEPNESS
    return np.asarray(shares, np.float32)


@cache
def _strengths() -> NDArray[np.uint8]:
    """Strength, 0..255, of each pair of codes (256, 256), bent as these are."""
    far = np.hypot(_shares()[:, None], _shares()[None, :]).clip(0, 1)
    bent = np.arcsinh(far * STEEPNESS) / np.arcsinh(STEEPNESS)
    return np.asarray(np.rint(bent * 255), np.uint8)
