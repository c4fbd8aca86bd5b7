"""report.json: what the page shows that stands in no other file of the run folder.

Figures are in metrics.json, each video in predictions.csv and clips.csv, the training in
history.csv, config.yaml and quarantine.csv. With these the page is built without the model.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cliptide.configs.errors import DataError

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Explanation:
    """What drove an answer, at M moments of one clip of the video.

    Attributes:
        times_s: (M) when, seconds from the clip's beginning.
        predicted: (M) the score of the predicted class after the frames up to then.
        true: (M) the score of the true class, likewise.
        occlusion: (M) how much the predicted class's score loses when the frame there and its
            neighbours are left out; negative where it gains.
        cam: Grad-CAM of the predicted class: a PNG as data URL, one tile a shown frame side by
            side, transparent where nothing drove it; None where it could not be had.
        output: The name of the class, label or target that all this is of: of a single label
            the predicted class, else the one that is to blame. Empty in older files.

    Of several labels and of numbers `predicted` is what that output says, `true` what it should.
    """

    times_s: tuple[float, ...]
    predicted: tuple[float, ...]
    true: tuple[float, ...]
    occlusion: tuple[float, ...]
    cam: str | None = None
    output: str = ""


@dataclass(frozen=True)
class Strip:
    """Frames of one video as a film strip.

    Attributes:
        video: The name of the clip.
        frames: A JPEG as data URL: `count` frames of one size side by side, in order of time.
        count: How many.
        width: Of one frame, pixels.
        height: Likewise.
        times_s: (count) when each is shown, seconds from the clip's beginning.
        explanation: What drove the answer; None where it was not asked for.
        text: Of a text its beginning, to be read; else empty.
    """

    video: str
    frames: str
    count: int
    width: int
    height: int
    times_s: tuple[float, ...]
    explanation: Explanation | None = None
    text: str = ""


@dataclass(frozen=True)
class ConfusedPair:
    """Videos of two classes that are taken for each other.

    Attributes:
        true: The class.
        predicted: What it was taken for.
        strips: One video that was taken for the other class, and one that truly is of that.
    """

    true: str
    predicted: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, kw_only=True)
class StoredReport:
    """What report.json holds.

    Attributes:
        title: The page's heading.
        command: What to type to repeat the run.
        created: When, as ISO text.
        class_names: The model's classes, labels or targets, in the order of the scores.
        environment: Versions and machine.
        facts: Short lines for the summary, such as parameters, encoder, epochs, time.
        split_origin: Who made the split: official, manifest, folders, made; empty when unknown.
        fingerprint: Of the split.
        torn_groups: Groups that stand in both training and test data.
        copies: (training or validation clip, test clip) whose files have the same bytes.
        groups_known: Whether groups of training and test data were compared.
        num_groups: How many groups were compared; None where unknown.
        split_table: (class, train, val, test) clips.
        split_sizes: Clips of train, val and test.
        target_ranges: (target, train, val, test) of a regression, each as `1.5 to 3`.
        mistakes: Strips of the worst mistakes, the worst first.
        confused: The pairs most often confused.
    """

    title: str
    command: str
    created: str
    class_names: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    split_origin: str = ""
    fingerprint: str = ""
    torn_groups: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    groups_known: bool = False
    num_groups: int | None = None
    split_table: tuple[tuple[str, int, int, int], ...] = ()
    split_sizes: tuple[int, ...] = ()
    target_ranges: tuple[tuple[str, ...], ...] = ()
    mistakes: tuple[Strip, ...] = ()
    confused: tuple[ConfusedPair, ...] = ()


def write_stored(path: Path, stored: StoredReport) -> None:
    """Write report.json."""
    values = {"format_version": FORMAT_VERSION} | asdict(stored)
    # Names of files that are no UTF-8 hold lone surrogates, which are escaped here.
    path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_stored(path: Path) -> StoredReport:
    """Read report.json.

    Raises:
        DataError: The file is missing, damaged or of a newer format.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("format_version")
        if version > FORMAT_VERSION:
            raise DataError(
                f"{path} is of format {version}; this cliptide reads up to {FORMAT_VERSION}. "
                "Upgrade with: pip install --upgrade cliptide"
            )
        values["mistakes"] = tuple(_strip(strip) for strip in values["mistakes"])
        values["confused"] = tuple(
            ConfusedPair(pair["true"], pair["predicted"], tuple(map(_strip, pair["strips"])))
            for pair in values["confused"]
        )
        return StoredReport(**{key: _frozen(value) for key, value in values.items()})
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the folder of a finished run, or "
            "evaluate its model again."
        ) from error
    except KeyError as error:
        raise _damaged(path, f"it has no {error}") from error
    except ValueError as error:
        raise _damaged(path, f"it is no JSON: {error}") from error
    except (TypeError, AttributeError) as error:
        raise _damaged(path, "its parts are not those that cliptide writes") from error


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is damaged: {why}. Evaluate the model again, or take the file away: the page is "
        "then built without it."
    )


def _strip(values: dict[str, Any]) -> Strip:
    explanation = values.pop("explanation")
    whole = None
    if explanation is not None:
        whole = Explanation(**{key: _frozen(value) for key, value in explanation.items()})
    return Strip(**{key: _frozen(value) for key, value in values.items()}, explanation=whole)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
