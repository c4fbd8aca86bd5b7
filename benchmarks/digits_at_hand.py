"""Write scikit-learn's handwritten digits as images, to train on without a download.

1797 grey images of 8 x 8 pixels, from the test part of "Optical Recognition of Handwritten Digits"
(Alpaydin and Kaynak, UCI, 1998), which comes inside scikit-learn:

    OUT/train/7/digit_0007.png
    OUT/test/3/digit_1400.png

The images stand in the order of their writers, who are not named. A random split would put each
writer's digits on both sides: the nearest neighbour is right of 0.987 so, and of 0.962 by the split
made here. That is the last quarter in this order: of its writers one at most is in training too.

    python benchmarks/digits_at_hand.py OUT
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

TEST_FROM = 1348
_BRIGHTEST = 16.0


def write_digits(root: Path) -> dict[str, int]:
    """Write the digits as PNG files in folders of splits and classes.

    Returns:
        How many images each split has.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    counts = {"train": 0, "test": 0}
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = "train" if number < TEST_FROM else "test"
        path = root / split / str(label) / f"digit_{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.rint(image * 255 / _BRIGHTEST).astype(np.uint8))
        counts[split] += 1
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    print(f"{out}: {write_digits(out)}")
