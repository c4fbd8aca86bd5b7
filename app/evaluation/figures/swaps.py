"""Classes whose names are swapped: in the labels, or in the list of classes."""

from collections.abc import Sequence

# Of a class, that many videos at least and more than this share are taken for the next one.
MIN_VIDEOS = 3
MIN_SHARE = 0.5


def find_swaps(confusion: Sequence[Sequence[int]], class_names: Sequence[str]) -> list[list[str]]:
    """Find classes that are taken for each other in a ring, which no mere likeness explains.

    Where two actions look alike, both are taken for the one that is seen more often; where their
    names are swapped, each is taken for the other.

    Args:
        confusion: Counts, (K, K), rows = true, columns = predicted.
        class_names: (K).

    Returns:
        Rings of two or more classes, each of which has three videos or more and is taken for the
        next one (the last for the first) in more than half of them. A ring begins with its first
        class in the order of `class_names`, as do the rings.
    """
    # More than half: a class has one such follower at most, so that rings share no class.
    taken_for = {
        place: follower
        for place, row in enumerate(confusion)
        for follower, count in enumerate(row)
        if follower != place and sum(row) >= MIN_VIDEOS and count > MIN_SHARE * sum(row)
    }
    rings = []
    for start in taken_for:
        ring = [start]
        while (after := taken_for.get(ring[-1])) is not None and after not in ring:
            ring.append(after)
        if after == start and start == min(ring):
            rings.append([class_names[place] for place in ring])
    return rings
