"""Dealing whole groups of clips into parts of wanted sizes, with every class where it can be.

scikit-learn deals the groups into folds of like classes; a part to be held out is the union of
folds that comes nearest to the wanted share.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cliptide.datasets.records import SampleRecord
from cliptide.datasets.strata import Tags

# More folds come nearer to a wanted share, but leave too few groups in each to balance classes.
# A share below a tenth needs more all the same, down to a hundredth.
_USUAL_FOLDS = 10
_MOST_FOLDS = 100


@dataclass(frozen=True)
class Aim:
    """What to hold out.

    Attributes:
        share: The wanted share of the clips.
        largest: The share not to exceed for the sake of a class that is missing otherwise.
        leaves_spare: Whether validation must still be taken out of what remains.
    """

    share: float
    largest: float
    leaves_spare: bool


class Groups:
    """The clips of each class in each group, and which groups one side can spare."""

    def __init__(self, records: Sequence[SampleRecord], tags: Tags) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.sizes = Counter(record.group for record in records)
        for record in records:
            self.counts[record.group].update(tags[record.name])
        self.names = frozenset(self.counts)
        self.classes = self.tally(self.names)
        self.num_clips = len(records)

    def size(self, groups: Iterable[str]) -> int:
        """Count the clips, each once, however many labels it has."""
        return sum(self.sizes[group] for group in groups)

    def tally(self, groups: Iterable[str]) -> Counter[str]:
        """Clips of each class in groups."""
        total: Counter[str] = Counter()
        for group in groups:
            total.update(self.counts[group])
        return total

    def smallest_first(self, groups: Iterable[str]) -> list[str]:
        """Groups in order of their clips."""
        return sorted(groups, key=lambda group: (self.sizes[group], group))

    def holding(self, label: str, groups: Iterable[str]) -> list[str]:
        """List the groups with clips of a class, those with the fewest clips first."""
        return self.smallest_first(group for group in groups if label in self.counts[group])

    def spare(self, groups: frozenset[str]) -> Iterator[str]:
        """Yield the groups without which the others still have every class."""
        total = self.tally(groups)
        for group in groups:
            if all(total[label] > count for label, count in self.counts[group].items()):
                yield group


def carve(
    groups: Groups, records: Sequence[SampleRecord], tags: Tags, *, aim: Aim, seed: int
) -> frozenset[str]:
    """Choose the groups to hold out.

    Args:
        groups: With at least one that can be spared.
        records: Those of `groups`, in an order that does not depend on the disk.
        tags: The classes of each record.
        aim: How much to hold out, and what to leave.
        seed: Of the shuffle.

    Returns:
        Groups. What remains has every class; what is held out has as many as can be.
    """

    def leaves_enough(held: frozenset[str]) -> bool:
        rest = groups.names - held
        every_class = len(groups.tally(rest)) == len(groups.classes)
        return every_class and (not aim.leaves_spare or any(groups.spare(rest)))

    num_folds, _ = _folds_for(aim.share, num_groups=len(groups.names))
    folds = deal_groups(records, tags, num_folds=num_folds, seed=seed)
    held = _nearest_union(groups, folds, aim=aim)
    # Every class must be learnt: give back a group of each class that only the held-out side has.
    for label in _classes_lacking(groups.classes - groups.tally(held), groups):
        if len(held) > 1 and not groups.tally(groups.names - held)[label]:
            held -= {groups.holding(label, held)[0]}
    if not leaves_enough(held):
        single = [frozenset({group}) for group in groups.smallest_first(groups.spare(groups.names))]
        held = next((one for one in single if leaves_enough(one)), single[0])
    # And every class should be judged: take a group of each that is missing, if one can be spared.
    for label in _classes_lacking(groups.tally(held), groups):
        if groups.tally(held)[label]:  # It came along with another class.
            continue
        for group in groups.holding(label, groups.names - held):
            more = held | {group}
            fits = groups.size(more) <= aim.largest * groups.num_clips
            if fits and leaves_enough(more):
                held = more
                break
    return held


def _classes_lacking(side: Counter[str], groups: Groups) -> list[str]:
    return sorted(label for label in groups.classes if not side[label])


def deal_groups(
    records: Sequence[SampleRecord], tags: Tags, *, num_folds: int, seed: int
) -> list[frozenset[str]]:
    """Deal the groups into folds of like size and classes.

    Args:
        records: In an order that does not depend on the disk.
        tags: What each record counts for, by its name.
        num_folds: 2 up to the number of groups.
        seed: Of the shuffle.

    Returns:
        The groups of each fold, none of them empty.
    """
    # scikit-learn takes two seconds to import.
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # Several labels are dealt by their combination.
    labels = ["|".join(tags[record.name]) for record in records]
    names = [record.group for record in records]
    distinct = sorted(set(names))
    # With one clip in each group both deal alike, but the plain one is many times faster.
    alone = len(distinct) == len(records)
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(
        n_splits=num_folds, shuffle=True, random_state=seed
    )
    number = {name: i for i, name in enumerate(distinct)}
    strata = _strata(Counter(labels), smallest=num_folds)
    dealt = splitter.split(
        X=[[0]] * len(records),
        y=[strata[label] for label in labels],
        groups=None if alone else [number[name] for name in names],
    )
    return [frozenset(names[int(i)] for i in fold) for _, fold in dealt]


def _folds_for(share: float, *, num_groups: int) -> tuple[int, int]:
    """Find into how many folds to deal, and how many of them come nearest to the share."""
    needed = round(1 / min(share, 1 - share))
    most = min(num_groups, max(_USUAL_FOLDS, min(_MOST_FOLDS, needed)))
    return min(
        ((folds, taken) for folds in range(2, most + 1) for taken in range(1, folds)),
        key=lambda pair: (round(abs(pair[1] / pair[0] - share), 9), pair),
    )


def _strata(classes: Counter[str], *, smallest: int) -> dict[str, int]:
    """Number the classes for stratifying, the rare ones as one.

    A class with fewer clips than folds cannot be spread over them; scikit-learn warns of it.
    """
    by_size = sorted(classes, key=lambda name: (classes[name], name))
    pooled: list[str] = []
    for name in by_size:
        total = sum(classes[rare] for rare in pooled)
        if classes[name] >= smallest and (not pooled or total >= smallest):
            break
        pooled.append(name)
    return {name: 0 if name in pooled else i for i, name in enumerate(by_size, start=1)}


def _nearest_union(groups: Groups, folds: Sequence[frozenset[str]], *, aim: Aim) -> frozenset[str]:
    """Choose the folds that leave and have the most classes, then come nearest in share and mix."""
    _, taken = _folds_for(aim.share, num_groups=len(groups.names))
    tallies = [groups.tally(fold) for fold in folds]
    sizes = [groups.size(fold) for fold in folds]

    def cost(chosen: tuple[int, ...]) -> tuple[int, bool, int, float]:
        held: Counter[str] = Counter()
        for i in chosen:
            held.update(tallies[i])
        rest = groups.names.difference(*(folds[i] for i in chosen))
        size = sum(sizes[i] for i in chosen)
        mix = sum(
            abs(held[label] / max(size, 1) - total / groups.num_clips)
            for label, total in groups.classes.items()
        )
        return (
            sum(held[label] == total for label, total in groups.classes.items()),
            aim.leaves_spare and not any(groups.spare(rest)),
            sum(held[label] == 0 for label in groups.classes),
            round(abs(size / groups.num_clips - aim.share) + mix / 2, 9),
        )

    best = min(itertools.combinations(range(len(folds)), taken), key=cost)
    return frozenset().union(*(folds[i] for i in best))
