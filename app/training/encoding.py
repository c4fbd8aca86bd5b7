"""What an encoder that learns nothing makes of every frame, computed once and kept in memory.

A frozen encoder gives the same features in every epoch, every fold and every trial of a search,
and is nearly all of the work. So each clip goes through it once, as it is and mirrored where clips
are, and what is trained behind it is given the features: of the same frames, drawn in the same way.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log, track
from cliptide.configs.schema import RunConfig
from cliptide.configs.sizes import parse_size
from cliptide.datasets.encoded import EncodedClip, FrameBlock, FrameBlocks
from cliptide.datasets.kept import SHARE_OF_FREE_MEMORY, free_memory_bytes
from cliptide.datasets.lengths import ClipTimes, clip_times
from cliptide.datasets.loaders import start_worker
from cliptide.datasets.processes import worker_context
from cliptide.datasets.records import SampleRecord
from cliptide.models.recognizer import Recognizer

# On a CPU, more frames at once only miss its caches.
CPU_FRAMES = 16

# Source, start, end, and whether it is mirrored.
ClipKey = tuple[str, float, float | None, bool]


@dataclass
class EncodedStore:
    """Features that runs one after another share: the folds of a data set, the trials of a search.

    Attributes:
        runs: How many runs will use it; decides whether encoding every frame pays off.
        times: Where each clip lies in its video, by the unmirrored key.
        kept: By encoder and way of taking frames, then by clip: (N, ...) features of its frames,
            or why it cannot be read.
    """

    runs: int = 1
    times: dict[ClipKey, ClipTimes] = field(default_factory=dict)
    kept: dict[str, dict[ClipKey, Tensor | str]] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Memory that the features take."""
        features = (value for clips in self.kept.values() for value in clips.values())
        return sum(value.nbytes for value in features if isinstance(value, Tensor))

    def make_room(self, wanted_bytes: int, *, way: str) -> bool:
        """Whether so many bytes more fit; what was encoded in other ways goes where it must."""
        for keep_others in (True, False):
            if not keep_others:
                self.kept = {key: clips for key, clips in self.kept.items() if key == way}
            used = self.num_bytes
            if wanted_bytes <= SHARE_OF_FREE_MEMORY * (free_memory_bytes() + used) - used:
                return True
        return False


def encoder_stays(config: RunConfig, network: Recognizer) -> bool:
    """Whether a frame has the same features in every epoch of a run."""
    data, train = config.data, config.train
    return (
        data.keep == "auto"
        and network.freeze_encoder
        and not train.unfreeze_after
        and data.augment == "none"
        and network.streams.names == ("rgb",)
        and network.streams.steps.image == "whole"
        and not (train.mixup or train.cutmix)
        and network.encoder.sees_single_frames
    )


def encode_clips(
    network: Recognizer,
    records: Sequence[SampleRecord],
    *,
    num_mirrored: int,
    config: RunConfig,
    precision: str,
    workers: int,
    store: EncodedStore,
) -> list[EncodedClip] | None:
    """Encode every frame of every clip, or say that it does not pay off.

    Args:
        network: On the device to compute on, and such that `encoder_stays`.
        records: The clips.
        num_mirrored: So many of the first are encoded mirrored, too.
        config: How frames are taken.
        precision: Lightning's name for the number format.
        workers: Processes that read.
        store: Where runs before have left features, and this one leaves its own.

    Returns:
        Each record's features; None where fewer frames are drawn in all epochs than the clips
        have, or where they do not fit into memory.
    """
    nouns = Nouns.of_streams(network.streams)
    way = _way(network, config, precision)
    kept = store.kept.get(way, {})
    rate = config.steps.image_rate
    times = _times(records, store, workers=workers, image_rate=rate, unit=nouns.samples)
    wanted = {
        number: [mirrored for mirrored in sides if _key(record, mirrored) not in kept]
        for number, record in enumerate(records)
        for sides in [(False, True) if number < num_mirrored else (False,)]
    }
    num_frames = sum(len(times[number].pts_s) * len(sides) for number, sides in wanted.items())
    if num_frames:
        drawn = sum(min(config.data.frames, len(clip.pts_s)) for clip in times)
        if num_frames > drawn * config.train.epochs * store.runs:
            log(
                f"The {nouns.records} have more frames than are ever drawn: those drawn are "
                "encoded each time"
            )
            return None
        black = torch.zeros(1, 3, *parse_size(config.data.size), dtype=torch.uint8)
        wanted_bytes = num_frames * _encoded(network, black, precision).nbytes
        if not store.make_room(wanted_bytes, way=way):
            log(
                f"The features of {num_frames:,} frames ({wanted_bytes / 2**30:.1f} GiB) do not "
                "fit into memory: frames are encoded in every epoch"
            )
            return None
        log(f"The encoder learns nothing: {num_frames:,} frames go through it, once")
    if any(wanted.values()):
        encoded = _encode(
            network, records, times, wanted, config=config, precision=precision, workers=workers
        )
        kept = store.kept.setdefault(way, {})
        kept.update(encoded)
    return [
        _clip(kept, record, clip, mirrored=number < num_mirrored)
        for number, (record, clip) in enumerate(zip(records, times, strict=True))
    ]


def _times(
    records: Sequence[SampleRecord],
    store: EncodedStore,
    *,
    workers: int,
    image_rate: float,
    unit: str,
) -> list[ClipTimes]:
    """Where each clip lies in its video; those that no run has asked for are opened."""
    new = [record for record in records if _key(record, False) not in store.times]
    found = clip_times(new, workers=workers, image_rate=image_rate) if new else []
    opening = track(found, total=len(new), what="Opening", unit=unit)
    for record, times in zip(new, opening, strict=True):
        store.times[_key(record, False)] = times
    return [store.times[_key(record, False)] for record in records]


def _way(network: Recognizer, config: RunConfig, precision: str) -> str:
    """All that a frame's features depend on, but for the frame."""
    digest = hashlib.blake2b()
    for name, value in network.encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    # Weights alone do not tell networks of one shape apart that pad or normalise in other ways.
    model, data, encoder = config.model, config.data, network.encoder
    kind = (model.encoder, model.width, model.pool, model.norm, encoder.mean, encoder.std)
    frames = (str(data.size), data.fit, precision)
    return repr((digest.hexdigest(), kind, network.temporal.takes, frames))


def _key(record: SampleRecord, mirrored: bool) -> ClipKey:
    return str(record.source), record.start_s, record.end_s, mirrored


def _clip(
    kept: dict[ClipKey, Tensor | str], record: SampleRecord, times: ClipTimes, *, mirrored: bool
) -> EncodedClip:
    plain = kept[_key(record, False)]
    if isinstance(plain, str):
        return EncodedClip(times.pts_s, times.duration_s, torch.empty(0), error=plain)
    other = kept[_key(record, True)] if mirrored else None
    assert not isinstance(other, str), "both sides come from the same frames"
    return EncodedClip(times.pts_s, times.duration_s, plain, other)


def _encode(
    network: Recognizer,
    records: Sequence[SampleRecord],
    times: Sequence[ClipTimes],
    wanted: dict[int, list[bool]],
    *,
    config: RunConfig,
    precision: str,
    workers: int,
) -> dict[ClipKey, Tensor | str]:
    """Read the wanted clips block by block and encode the sides that are asked for."""
    numbers = [number for number, sides in wanted.items() if sides]
    blocks = FrameBlocks(
        [records[number] for number in numbers],
        [times[number] for number in numbers],
        size=parse_size(config.data.size),
        fit=config.data.fit,
    )
    loader: DataLoader[FrameBlock] = DataLoader(
        blocks,
        batch_size=None,
        num_workers=workers,
        generator=torch.Generator(),  # or it would draw from torch's own, which training uses
        worker_init_fn=start_worker,
        multiprocessing_context=worker_context() if workers else None,
    )
    parts: dict[ClipKey, list[Tensor]] = {}
    errors = {number: times[number].error for number in numbers if times[number].error}
    for block in track(
        loader,
        total=blocks.num_frames,
        what="Encoding",
        unit="frames",
        weigh=lambda block: len(block.frames),
    ):
        number = numbers[block.index]
        if block.error:
            errors.setdefault(number, block.error)
        if number in errors:
            continue
        for mirrored in wanted[number]:
            frames = block.frames.flip(3) if mirrored else block.frames
            features = parts.setdefault(_key(records[number], mirrored), [])
            features.append(_encoded(network, frames, precision))
    return {
        key: errors.get(number) or torch.cat(parts.pop(key))
        for number in numbers
        for key in (_key(records[number], mirrored) for mirrored in wanted[number])
    }


def _encoded(network: Recognizer, frames: Tensor, precision: str) -> Tensor:
    """Features (N, ...) of frames (N, 3, H, W) uint8, on the CPU.

    The same frames always go through the network together, so that on a CPU a clip's features are
    the same to the bit whenever they are computed: a resumed run is given what the broken one was.
    """
    device = next(network.encoder.parameters()).device
    kind = torch.float16 if precision == "16-mixed" else torch.bfloat16
    with torch.no_grad(), torch.autocast(device.type, kind, enabled=precision != "32-true"):
        at_once = CPU_FRAMES if device.type == "cpu" else len(frames)
        features = [
            network.encode(part[None].to(device), torch.tensor([len(part)]))[0].cpu()
            for part in torch.split(frames, at_once)
        ]
    return torch.cat(features)
