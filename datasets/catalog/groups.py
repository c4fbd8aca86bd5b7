"""Which clips belong together and must not be torn between train and test."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cliptide.configs.errors import ConfigError
from cliptide.datasets.catalog.wording import counted, some

# UCF101 and its kin: v_Archery_g08_c03.avi. Clips of one gNN share their actor and background,
# and the same gNN may be the same person in two classes, so the class is no part of the group.
_UCF_GROUP = re.compile(r"_(g\d+)_")


@dataclass(frozen=True)
class Groups:
    """The groups of a list of clips.

    Attributes:
        names: One group for each clip, in the order given.
        known: False if each video is merely a group of its own.
        notes: What the user should know about how they were found.
    """

    names: tuple[str, ...]
    known: bool
    notes: tuple[str, ...] = ()


def find_groups(
    videos: Sequence[str],
    *,
    group_regex: str | None = None,
    column: Sequence[str | None] | None = None,
    missing: str = "the manifest gives no group",
) -> Groups:
    """Find each clip's group: by the user's pattern, else a column, else `_gNN_` in the name.

    A clip without any of these is grouped by its video, so clips cut from one long video stay
    together.

    Args:
        videos: The video of each clip, relative to the data set, with `/`.
        group_regex: Searched in each of `videos`; its first capturing group that took part, or
            the whole match, is the group.
        column: The groups the layout gives, such as a manifest's column; None where a clip has
            none.
        missing: What to say of those that have none.

    Raises:
        ConfigError: `group_regex` does not compile, or matches nothing.
    """
    if group_regex is not None:
        return _by_pattern(videos, group_regex)
    if column is not None and any(column):
        return _by_column(videos, column, missing=missing)
    found = [_search(_UCF_GROUP, video) for video in videos]
    if not any(found):
        return Groups(names=tuple(videos), known=False)
    return _fill(videos, found, missing="no _gNN_ is in the name")


def join_groups(
    names: Sequence[str], *, keys: Sequence[str], column: Sequence[str], shared: str
) -> Groups:
    """Group samples by a column, and join groups that have something in common.

    Args:
        names: Of the samples.
        keys: What is the same for samples that belong together.
        column: The group of each sample, "" where it has none.
        shared: What groups that are joined have in common, for the note: `a text`.
    """
    joined: dict[tuple[str, str], tuple[str, str]] = {}

    def root_of(node: tuple[str, str]) -> tuple[str, str]:
        while (parent := joined.setdefault(node, node)) != node:
            joined[node] = joined[parent]
            node = parent
        return node

    nodes = [("key", key) for key in keys]
    for node, group in zip(nodes, column, strict=True):
        if group:
            joined[root_of(node)] = root_of(("group", group))
    roots = [root_of(node) for node in nodes]
    called: dict[tuple[str, str], str] = {}
    for root, group in zip(roots, column, strict=True):
        if group:
            called.setdefault(root, group)
    known = bool(called)
    alone = Counter(root in called for root in roots)[False]
    for root, name in zip(roots, names, strict=True):
        called.setdefault(root, name)
    notes = []
    lost = sorted({group for group in column if group} - set(called.values()))
    if lost:
        notes.append(
            f"Joined to other groups, because they have {shared} in common: "
            f"{counted(len(lost), 'group')} ({some(lost)})."
        )
    if known and alone:
        notes.append(f"Without a group, so each text is one: {counted(alone, 'row')}.")
    return Groups(tuple(called[root] for root in roots), known, tuple(notes))


def _by_pattern(videos: Sequence[str], group_regex: str) -> Groups:
    try:
        pattern = re.compile(group_regex)
    except re.error as error:
        raise ConfigError(
            f"group_regex {group_regex!r} is no regular expression: {error}. "
            "Write one such as '_(g[0-9]+)_'."
        ) from error
    found = [_search(pattern, video) for video in videos]
    if videos and not any(found):
        raise ConfigError(
            f"group_regex {group_regex!r} matches none of {counted(len(videos), 'name')}, "
            f"such as {videos[0]!r}. Write it so that it finds the group in that name."
        )
    return _fill(videos, found, missing=f"group_regex {group_regex!r} does not match")


def _by_column(videos: Sequence[str], column: Sequence[str | None], *, missing: str) -> Groups:
    # A video with a group in one row has it in all its rows, or an empty cell would tear it.
    of_video = {video: group for video, group in zip(videos, column, strict=True) if group}
    filled = [group or of_video.get(video) for video, group in zip(videos, column, strict=True)]
    return _fill(videos, filled, missing=missing)


def _fill(videos: Sequence[str], found: Sequence[str | None], *, missing: str) -> Groups:
    alone = sum(group is None for group in found)
    return Groups(
        names=tuple(group or video for video, group in zip(videos, found, strict=True)),
        known=True,
        notes=(f"Grouped by video, because {missing}: {counted(alone, 'clip')}.",) if alone else (),
    )


def _search(pattern: re.Pattern[str], video: str) -> str | None:
    match = pattern.search(video)
    if match is None:
        return None
    return next((text for text in match.groups() if text), match.group(0)) or None
