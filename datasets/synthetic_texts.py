"""Small texts whose class is the ORDER of the same words: for the demo and for tests.

    praise   good ... but never ... bad          rise   from low ... to ... high
    blame    bad ... but never ... good          fall   from high ... to ... low

Every text has a twin in the other class of its pair, with the same words between these, so a bag
of words knows nothing. Those words come from many scripts; which ones belongs to a group, which
is what a split must not tear.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

# What is said, in order, in each class; others come between. Pairs hold the same words.
PAIRS = (
    {"praise": ("good", "but never", "bad"), "blame": ("bad", "but never", "good")},
    {"rise": ("from low", "to", "high"), "fall": ("from high", "to", "low")},
)
CLASS_NAMES = tuple(sorted(name for pair in PAIRS for name in pair))

# In each script a dozen words that say nothing of the matter.
FILLERS = tuple(
    line.split()
    for line in (
        "the day was long and we sat by a river for tea",
        "déjà garçon mañana Straße Übung ångström łódź çok øre crème niño œuvre",
        "θάλασσα ήλιος νερό σπίτι δρόμος βουνό πόλη ψωμί φως μέρα νύχτα λόγος",
        "вода город книга дорога солнце море ветер поле песня утро вечер друг",
        "山 水 火 木 月 日 春天 秋天 房子 道路 朋友 大海",
        "بحر شمس بيت طريق كتاب مدينة جبل خبز ليل نهار صديق ماء",
        "🌊 🌞 🏠 📚 🌲 🍞 🚲 🎵 👩‍🔬 🇫🇷 ⭐ ☕",
    )
)
_GROUP_WORDS = 8


def write_text_dataset(
    path: Path, *, groups: int = 10, texts_per_group: int = 6, seed: int = 0
) -> None:
    """Write a CSV with the columns text, label, group and split.

    The last three tenths of the groups, at least one, are the test split, all others train.

    Args:
        path: The file; overwritten.
        groups: With words of their own.
        texts_per_group: Of each class.
        seed: Another one gives other texts.
    """
    test_from = groups - max(1, round(groups * 0.3))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label", "group", "split"))
        seen: set[str] = set()
        for group in range(groups):
            rng = np.random.default_rng((seed, group))
            words = _words_of_group(rng)
            split = "train" if group < test_from else "test"
            for number in range(texts_per_group * len(PAIRS)):
                twins = _twins(PAIRS[number % len(PAIRS)], words, rng, without=seen)
                for label, text in twins.items():
                    table.writerow((text, label, f"g{group + 1:02d}", split))


def _words_of_group(rng: np.random.Generator) -> list[str]:
    scripts = rng.choice(len(FILLERS), 3, replace=False)
    words = [word for script in scripts for word in FILLERS[script]]
    return [str(word) for word in rng.choice(words, _GROUP_WORDS, replace=False)]


def _twins(
    pair: Mapping[str, tuple[str, str, str]],
    words: Sequence[str],
    rng: np.random.Generator,
    *,
    without: set[str],
) -> dict[str, str]:
    """Make a text of each class of a pair, with the same words between; never one seen before."""
    while True:
        # Before, twice between, and behind.
        between = [rng.choice(words, rng.integers(low, 5)).tolist() for low in (1, 0, 0, 1)]
        texts = {
            label: " ".join([*between[0], a, *between[1], b, *between[2], c, *between[3]])
            for label, (a, b, c) in pair.items()
        }
        if without.isdisjoint(texts.values()):
            without.update(texts.values())
            return texts
