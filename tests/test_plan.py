"""The plan is right for whatever a stream looks like, shown with a model of a decoder."""

import itertools
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cliptide.datasets.video.plan import key_positions, plan_runs, starts_whole
from cliptide.datasets.video.timeline import PacketRow, table_is_clean


@dataclass(frozen=True)
class Coded:
    """A picture in decode order: when it is shown, and which positions it refers to."""

    pts: int
    is_key: bool
    refers_to: frozenset[int]


@st.composite
def streams(draw):
    """Groups of pictures with B-frames, some of them open, in decode order.

    An anchor (I or P) refers to the anchor before it; the B-frames shown between two anchors
    follow the later one, refer to both, and the first of them may itself be referred to
    (a pyramid). In an open group the key frame too has B-frames before it, which refer to the
    last anchor of the group before.
    """
    coded: list[Coded] = []
    shown = 0
    anchor = None
    for group in range(draw(st.integers(1, 5))):
        is_open = group > 0 and draw(st.booleans())
        for number in range(draw(st.integers(1, 5))):
            is_key = number == 0
            num_b = draw(st.integers(0, 3)) if number > 0 or is_open else 0
            before, position = anchor, len(coded)
            refs = frozenset() if is_key else frozenset({before})
            coded.append(Coded(shown + num_b, is_key, refs))
            middle = None
            order = list(range(num_b))
            if num_b == 3 and draw(st.booleans()):
                order = [1, 0, 2]
            for b in order:
                refs = frozenset({before, position} | ({middle} if middle is not None else set()))
                if order != sorted(order) and middle is None:
                    middle = len(coded)
                coded.append(Coded(shown + b, False, refs))
            shown += num_b + 1
            anchor = position
    gaps = draw(st.lists(st.integers(1, 5), min_size=shown, max_size=shown))
    times = [sum(gaps[:i]) for i in range(shown)]  # uneven rates
    return [Coded(times[c.pts], c.is_key, c.refers_to) for c in coded]


def rows_of(stream):
    return [PacketRow(c.pts, i, 1, c.is_key, False, False) for i, c in enumerate(stream)]


def planned(rows, wanted):
    return plan_runs(rows, wanted, keys=key_positions(rows))


def decode(stream, run):
    """Give the positions that a fresh decoder decodes whole of a run."""
    referred_to = {ref for coded in stream for ref in coded.refers_to}
    whole: set[int] = set()
    for position in range(run.start, run.stop):
        if position not in referred_to and position not in run.wanted:
            continue  # left out by the decoder
        if stream[position].refers_to <= whole:
            whole.add(position)
    return whole


@given(streams(), st.data())
def test_every_wanted_frame_leaves_the_decoder_whole(stream, data):
    positions = st.integers(0, len(stream) - 1)
    wanted = data.draw(st.lists(positions, max_size=12))
    rows = rows_of(stream)
    assert table_is_clean(rows) and starts_whole(rows)
    runs = planned(rows, wanted)
    assert {p for run in runs for p in run.wanted} == set(wanted)
    for run in runs:
        assert run.wanted <= decode(stream, run)


@given(streams(), st.data())
def test_no_packet_is_sent_twice_and_none_behind_the_last_wanted(stream, data):
    wanted = data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1))
    runs = planned(rows_of(stream), wanted)
    for run in runs:
        assert stream[run.start].is_key
        assert run.stop == max(run.wanted) + 1
    assert all(a.stop <= b.start for a, b in itertools.pairwise(runs))


@given(streams(), st.data())
def test_groups_without_a_wanted_frame_are_passed_over(stream, data):
    """One frame costs at most its own group, or the one before too when it leads an open group."""
    position = data.draw(st.integers(0, len(stream) - 1))
    (run,) = planned(rows_of(stream), [position])
    assert sum(stream[p].is_key for p in range(run.start, run.stop)) <= 2


def test_a_frame_that_leads_an_open_group_is_decoded_from_the_group_before():
    # I0 P3 | I6 b5 : b5 is shown before the key frame it follows, and refers to P3.
    rows = [
        PacketRow(p, i, 1, k, False, False)
        for i, (p, k) in enumerate([(0, True), (3, False), (6, True), (5, False)])
    ]
    assert planned(rows, [3])[0].start == 0
    assert planned(rows, [2])[0].start == 2


def test_a_recording_that_begins_in_mid_stream_is_not_planned():
    def rows(*table):
        return [PacketRow(p, i, 1, k, False, False) for i, (p, k) in enumerate(table)]

    assert not starts_whole(rows((0, False), (1, False), (2, True)))
    assert not starts_whole(rows((2, True), (0, False), (1, False)))
    assert starts_whole(rows((0, True), (1, False)))


def test_nothing_wanted_is_nothing_sent():
    assert planned([PacketRow(0, 0, 1, True, False, False)], []) == []
