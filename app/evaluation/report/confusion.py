"""The confusion matrix as it is drawn: which cells there are and in which order the classes stand.

Classes that are taken for each other stand together: average linkage on the symmetrised shares,
leaves ordered so that neighbours are as alike as can be (Bar-Joseph, Gifford and Jaakkola, "Fast
optimal leaf ordering for hierarchical clustering", Bioinformatics 17, 2001).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# With more classes than this a reader wants to see those alone that are confused.
FEW_CLASSES = 30


def confusion_figure(
    confusion: Sequence[Sequence[int]], class_names: Sequence[str]
) -> dict[str, Any]:
    """Cells and orders of classes.

    Args:
        confusion: (K, K) counts, rows = true, columns = predicted.
        class_names: K names.

    Returns:
        `cells`: [row, column, count] of every cell that is not 0. `orders`: places of classes
        by name of the order: `alike`, `alphabet`, `model`. `most`: the classes with the most
        mistakes, where there are too many to look at all.
    """
    counts = np.asarray(confusion, dtype=np.int64).reshape(len(class_names), len(class_names))
    rows, columns = np.nonzero(counts)
    cells = [
        [int(row), int(column), int(counts[row, column])]
        for row, column in zip(rows, columns, strict=True)
    ]
    return {
        "names": list(class_names),
        "cells": cells,
        "orders": {
            "alike": alike_order(counts),
            "alphabet": sorted(range(len(class_names)), key=lambda k: class_names[k].casefold()),
            "model": list(range(len(class_names))),
        },
        "most": _most_mistaken(counts) if len(class_names) > FEW_CLASSES else [],
    }


def alike_order(counts: npt.NDArray[np.int64]) -> list[int]:
    """Places of the classes so that those taken for each other stand together.

    Args:
        counts: (K, K), rows = true, columns = predicted.

    Returns:
        A permutation of 0..K-1; classes that are never confused come last, as they were.
    """
    support = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(support, 1)
    np.fill_diagonal(shares, 0.0)
    alike = shares + shares.T
    confused = np.flatnonzero(alike.any(axis=1))
    calm = [int(place) for place in np.flatnonzero(~alike.any(axis=1))]
    if len(confused) < 3:
        return [*(int(place) for place in confused), *calm]
    # A fifth of a second, which a page without a matrix need not wait for.
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    near = alike[np.ix_(confused, confused)]
    # The root keeps rare mistakes apart from none at all.
    distances = 1 - np.sqrt(near / near.max())
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    return [*(int(confused[leaf]) for leaf in leaves_list(tree)), *calm]


def _most_mistaken(counts: npt.NDArray[np.int64]) -> list[int]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    mistakes = wrong.sum(axis=0) + wrong.sum(axis=1)
    chosen = np.argsort(-mistakes, kind="stable")[: FEW_CLASSES - 6]
    return [int(place) for place in chosen if mistakes[place]]


def most_confused(
    confusion: Sequence[Sequence[int]], class_names: Sequence[str], *, limit: int
) -> list[dict[str, Any]]:
    """The pairs most often confused: `true`, `predicted`, `count`, and `support` of the true."""
    counts = np.asarray(confusion)
    support = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [(int(flat) // len(class_names), int(flat) % len(class_names)) for flat in order]
    return [
        {
            "true": class_names[true],
            "predicted": class_names[predicted],
            "count": int(wrong[true, predicted]),
            "support": int(support[true]),
        }
        for true, predicted in pairs
        if wrong[true, predicted]
    ]
