"""What reading and the network must learn of the training data before anything is trained."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import ConfigError, DataError, SampleError
from cliptide.configs.streams import SampleKind, StepsConfig, StreamName, Streams
from cliptide.datasets.catalog.catalog import Catalog
from cliptide.datasets.catalog.videos import VIDEO_SUFFIXES
from cliptide.datasets.catalog.wording import counted
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.arrays import columns_of
from cliptide.datasets.streams.joint_map import read_joint_map
from cliptide.datasets.streams.stream import Stream
from cliptide.datasets.streams.text import read_text
from cliptide.datasets.streams.tokens import LEARNT_CHARACTERS, train_tokenizer

# What each kind of sample is read as where data.streams is auto, and what it may be read as.
_STREAMS: Mapping[SampleKind, tuple[StreamName, ...]] = {
    "video": ("rgb", "flow", "audio", "arrays"),
    "frames": ("rgb", "flow", "arrays"),
    "images": ("rgb", "rows"),
    "audio": ("audio",),
    "arrays": ("arrays",),
    "text": ("text",),
}
# Mean and spread change little with more samples than these.
MOST_SAMPLES = 500
STANDARDISED = ("audio", "arrays")


def stream_names(
    asked: Sequence[StreamName], samples: SampleKind, *, steps: StepsConfig
) -> tuple[StreamName, ...]:
    """Resolve `data.streams`.

    Args:
        asked: As in the config; empty for auto.
        samples: What a sample of the data is.
        steps: What is made of an image.

    Raises:
        ConfigError: The samples have no such stream.
    """
    known = _STREAMS[samples]
    is_whole = "rgb" in asked and steps.image == "rows"
    if steps.image != "whole" and (samples != "images" or is_whole):
        what = f"samples of the kind {samples}" if samples != "images" else "data.streams rgb"
        raise ConfigError(
            f"steps.image is {steps.image}, which takes single images apart, and does not go with "
            f"{what}. Leave it at whole."
        )
    if not asked:
        return ("rows",) if samples == "images" and steps.image == "rows" else known[:1]
    for name in asked:
        if name not in known:
            raise ConfigError(
                f"data.streams asks for {name}, which samples of the kind {samples} do not have. "
                f"Use some of: {', '.join(known)}."
            )
    return tuple(asked)


def describe_streams(
    catalog: Catalog,
    train_records: Sequence[SampleRecord],
    *,
    asked: Sequence[StreamName],
    steps: StepsConfig,
) -> Streams:
    """Find out all that reading needs and the config does not say.

    Args:
        catalog: The data set.
        train_records: What may be learnt from.
        asked: The streams as in the config; empty for auto.
        steps: What a step is.

    Raises:
        ConfigError: The samples have no such stream, or the joint map does not fit.
        DataError: No sample has what is asked for.
    """
    names = stream_names(asked, catalog.samples, steps=steps)
    found = Streams(names=names, samples=catalog.samples, steps=steps)
    if "arrays" in names:
        (num_values, columns), joints = columns_of(train_records), None
        if steps.joints is not None:
            joints = read_joint_map(steps.joints, num_values=num_values)
        if joints is not None and num_values != len(joints.names) * joints.axes:
            raise ConfigError(
                f"steps.joints {steps.joints} has {len(joints.names)} joints with {joints.axes} "
                f"numbers each, but a row of the arrays has {num_values}. Correct the joint map, "
                "or leave steps.joints out."
            )
        found = replace(found, num_values=num_values, columns=columns, joints=joints)
    if "text" in names:
        tokenizer, num_tokens = train_tokenizer(
            _readable_texts(train_records), tokens=steps.tokens, vocabulary=steps.vocabulary
        )
        found = replace(found, tokenizer=tokenizer, num_tokens=num_tokens)
    return found


def _readable_texts(records: Iterable[SampleRecord]) -> Iterator[str]:
    for record in records:
        try:
            yield read_text(record, most=LEARNT_CHARACTERS)
        except SampleError:  # training says so, and leaves it out
            continue


@dataclass(frozen=True)
class Statistics:
    """What columns of a stream are like over the training samples.

    Attributes:
        centre: (F,) float32 mean.
        spread: (F,) float32 standard deviation, 1 where there is none.
    """

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]


def statistics_of(
    stream: Stream, records: Sequence[SampleRecord], *, seed: int = 0, alone: bool = False
) -> Iterator[Statistics | None]:
    """Go over training samples; a None for each one looked at, then the statistics.

    Args:
        stream: One of `STANDARDISED`.
        records: The training samples; of many, some are drawn.
        seed: Of the draw.
        alone: Whether nothing else is read.

    Raises:
        DataError: No sample has the stream.
    """
    drawn = np.random.default_rng(seed).permutation(len(records))[:MOST_SAMPLES]
    total: NDArray[Any] = np.zeros(stream.row_shape)
    squares, count = np.zeros(stream.row_shape), np.zeros(stream.row_shape)
    num_missing, why = 0, ""
    for place in drawn:
        try:
            with stream.open(records[int(place)]) as track:
                rows = stream.content(track)[1].astype(np.float64)
        except SampleError as error:
            num_missing, why = num_missing + 1, why or str(error)
        else:
            known = np.isfinite(rows)
            rows = np.where(known, rows, 0.0)
            total, squares = total + rows.sum(axis=0), squares + (rows**2).sum(axis=0)
            count = count + known.sum(axis=0)
        yield None
    if num_missing == len(drawn):
        raise DataError(
            f"None of {counted(len(drawn), 'training sample')} has the stream {stream.name}. The "
            f"first: {why} {_mend_of_none(stream, records, alone=alone)}"
        )
    mean = total / np.maximum(count, 1)
    spread = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0.0))
    spread = np.where(spread > 0, spread, 1.0)
    yield Statistics(mean.astype(np.float32), spread.astype(np.float32))


def _mend_of_none(stream: Stream, records: Sequence[SampleRecord], *, alone: bool) -> str:
    if not alone:
        return "Leave it out of data.streams, or give other data."
    are_videos = all(record.source.suffix.lower() in VIDEO_SUFFIXES for record in records)
    if stream.name == "audio" and are_videos:
        return (
            "If these videos have no sound, train on their pictures, without --config audio-gru, "
            "data.kind audio or data.streams audio."
        )
    return "Give other data."
