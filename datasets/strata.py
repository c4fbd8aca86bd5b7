"""What each clip stands for when clips are dealt into splits, whatever the task.

single       its class
multi        each of its labels; dealt by their combination
regression   the quantile bin of its first target
"""

import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence

from cliptide.configs.tasks import Task
from cliptide.datasets.labels import classes_of, numbers_in
from cliptide.datasets.records import SampleRecord

# More bins than this say little more, and leave few clips in each.
_MOST_BINS = 5
# One for each of train, val and test.
_GROUPS_IN_BIN = 3

Tags = Mapping[str, tuple[str, ...]]


def tags_of(records: Sequence[SampleRecord], task: Task) -> Tags:
    """Name what each side of a split should have of every clip.

    Args:
        records: Those to be dealt; names are unique.
        task: What their labels mean.

    Returns:
        Tags by the record's name. Bins of a target are so wide that each has clips of three
        groups, however few those are: in the end all clips are in one.
    """
    if task != "regression":
        return {record.name: classes_of(record.label, task) for record in records}
    values = {record.name: numbers_in(record.label)[0] for record in records}
    ranked = sorted(values.values())
    for num_bins in range(_MOST_BINS, 1, -1):
        edges = [ranked[len(ranked) * number // num_bins] for number in range(1, num_bins)]
        bins = {name: bisect.bisect_right(edges, value) for name, value in values.items()}
        groups = defaultdict(set)
        for record in records:
            groups[bins[record.name]].add(record.group)
        if all(len(found) >= _GROUPS_IN_BIN for found in groups.values()):
            return {name: (f"bin {number}",) for name, number in bins.items()}
    return dict.fromkeys(values, ("all",))


def target_ranges(
    records: Sequence[SampleRecord], target_names: Sequence[str], splits: Sequence[str | None]
) -> list[tuple[str, ...]]:
    """Tell from where to where each target goes in each split.

    Returns:
        A row for each target: its name, and `1.5 to 3` for each of `splits`, or `-`.
    """
    rows = []
    for place, name in enumerate(target_names):
        cells = []
        for split in splits:
            values = [numbers_in(r.label)[place] for r in records if r.split == split]
            cells.append(f"{min(values):.4g} to {max(values):.4g}" if values else "-")
        rows.append((name, *cells))
    return rows
