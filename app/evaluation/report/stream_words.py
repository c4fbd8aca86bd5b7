"""What each of several streams is worth to a model, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cliptide.app.evaluation.report.words import Tone, Verdict, difference
from cliptide.app.inference.nouns import Nouns

# What a reader calls the streams that can be joined.
STREAM_NAMES = {
    "rgb": "picture",
    "flow": "optical flow",
    "audio": "sound",
    "arrays": "array",
}


@dataclass(frozen=True)
class StreamGroup:
    """Streams that are compared over the same number of samples, with the same figure for all.

    Attributes:
        num_videos: Over how many samples.
        streams: What metrics.json holds of each.
    """

    num_videos: int
    streams: Mapping[str, Mapping[str, Any]]


def stream_groups(metrics: Mapping[str, Any]) -> list[StreamGroup]:
    """The streams by the samples that they are compared over; empty of a model of one."""
    groups: dict[tuple[int, float], dict[str, Mapping[str, Any]]] = {}
    for name, entry in _streams(metrics).items():
        # cliptide before it counted them compared all streams over all samples.
        count = entry.get("num_videos", metrics["num_scored"])
        groups.setdefault((count, entry["together"]), {})[name] = entry
    return [StreamGroup(count, streams) for (count, _), streams in groups.items()]


def compared_words(metrics: Mapping[str, Any]) -> list[str]:
    """Over which samples each group of streams is compared, a sentence for each."""
    nouns, scored = Nouns.of_metrics(metrics), metrics["num_scored"]
    found = []
    for group in stream_groups(metrics):
        if group.num_videos == scored:
            found.append(f"Over all {nouns.counted(scored)}.")
            continue
        names = " or ".join(f"the {STREAM_NAMES[name]}" for name in group.streams)
        which = (
            "have both streams"
            if len(group.streams) == len(_streams(metrics)) == 2
            else f"have {names} and another stream beside it"
        )
        found.append(f"Over {group.num_videos} of {nouns.counted(scored)}, those that {which}.")
    return found


def stream_verdicts(metrics: Mapping[str, Any]) -> list[Verdict]:
    """A finding on each stream; none of a model of one, or where it was not tried."""
    return [_verdict(metrics, name, entry) for name, entry in _streams(metrics).items()]


def _streams(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    return metrics.get("streams") or {}


def _verdict(metrics: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> Verdict:
    stream = STREAM_NAMES[name]
    told = difference(entry["worth"], task=metrics["task"])
    sentences: dict[str, tuple[Tone, str]] = {
        "helps": (
            "good",
            f"The {stream} is worth {told}: without it the model answers worse.",
        ),
        "harms": (
            "bad",
            f"The {stream} does harm: it is worth {told}, so the model answers better without it.",
        ),
        "nothing": (
            "care",
            f"The {stream} is worth nothing: it is worth {told}, and can as well be left out.",
        ),
        "unclear": ("care", _unclear(metrics, stream, entry["worth"], told)),
    }
    tone, text = sentences[entry["verdict"]]
    return Verdict(tone, text, "streams")


def _unclear(metrics: Mapping[str, Any], stream: str, worth: Mapping[str, Any], told: str) -> str:
    samples = Nouns.of_metrics(metrics).samples
    begin = f"Whether the {stream} is worth anything is unclear"
    if worth["by"] == 0 and worth["ci95"] and not any(worth["ci95"]):
        return (
            f"{begin}: without it no answer was better or worse, but so few {samples} cannot show "
            "that it never matters."
        )
    low, high = worth["ci95"] or (0, 0)
    # An interval beside zero alone proves nothing: the exact test of pairs must agree.
    beyond = "which an exact test of the pairs does not bear out" if low > 0 or high < 0 else ""
    chance = f", {beyond or 'which may be chance'}" if worth["by"] else ""
    return f"{begin}: it is worth {told}{chance}. More test {samples} would tell."


def missing_words(metrics: Mapping[str, Any]) -> list[str]:
    """How many scored samples lack a stream, a sentence for each that any lacks."""
    nouns, count = Nouns.of_metrics(metrics), metrics["num_scored"]
    missing = metrics.get("missing_streams") or {}
    return [
        f"{lacking} of {nouns.counted(count)} {'has' if lacking == 1 else 'have'} no "
        f"{STREAM_NAMES[name]}: there it was masked."
        for name, lacking in missing.items()
    ]
