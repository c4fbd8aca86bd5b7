"""What drove an answer: the score over time, frames left out, and where in the frames it looked."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptide.app.inference.scoring import scores_of
from cliptide.app.inference.terminal import warn
from cliptide.configs.tasks import Task
from cliptide.models.encoders.joined import JoinedEncoder
from cliptide.models.recognizer import Recognizer

# So many parts of a clip are left out one at a time: single frames are missed by nobody.
_PARTS = 8
# Long clips are looked at in so many moments: each costs two passes over the clip.
MOST_MOMENTS = 16
# Frames or maps that go through the network at once, and vectors of frames.
_FRAMES_AT_ONCE = 64
_VECTORS_AT_ONCE = 4096


@dataclass(frozen=True)
class Drivers:
    """What drove one output of the network over a clip of T frames.

    Attributes:
        moments: (M) frames at which it was looked, the last one among them; all of a short clip.
        over_time: (M, K) scores after the frames up to each moment, that one included.
        occlusion: (M) what the score loses when that frame and its neighbours are left out.
        cam: (T, h, w) 0..1, where in the frames it was seen (Grad-CAM: Selvaraju et al., 2017);
            None where the encoder gives no maps that its vectors come from, as that of several
            streams.
    """

    moments: NDArray[np.int64]
    over_time: NDArray[np.float64]
    occlusion: NDArray[np.float64]
    cam: NDArray[np.float64] | None


def explain(
    network: Recognizer, clip: Tensor, *, output: int, task: Task, temperature: float = 1.0
) -> Drivers:
    """Explain one output for one clip.

    Args:
        network: In evaluation mode.
        clip: (T, *step), pictures (T, 3, H, W) uint8 RGB, on the network's device.
        output: Which output, 0..K-1.
        task: What the outputs mean.
        temperature: Of the scores; see `scaled`.
    """
    count = len(clip)
    steps = torch.arange(count)
    with torch.inference_mode():
        encoded = network.encoder.sees_single_frames
        frames = clip
        if encoded:
            frames = network.encode(clip[None], torch.tensor([count]))[0]

        def scores(picks: list[Tensor]) -> NDArray[np.float64]:
            """(len(picks), K) scores of clips made of these frames."""
            vectors = encoded and frames.dim() == 2
            at_once = max(1, (_VECTORS_AT_ONCE if vectors else _FRAMES_AT_ONCE) // count)
            rows = []
            for first in range(0, len(picks), at_once):
                part = picks[first : first + at_once]
                lengths = torch.tensor([len(pick) for pick in part])
                clips = frames.new_zeros(len(part), int(lengths.max()), *frames.shape[1:])
                for row, pick in zip(clips, part, strict=True):
                    row[: len(pick)] = frames[pick.to(frames.device)]
                outputs = network(clips, lengths, encoded=encoded)
                rows.append(scores_of(outputs, task=task, temperature=temperature))
            return np.concatenate(rows)

        spread = np.linspace(0, count - 1, min(count, MOST_MOMENTS))
        moments = np.round(spread).astype(np.int64)
        over_time = scores([steps[: end + 1] for end in moments])
        width = max(1, count // _PARTS)
        picks = []
        for centre in moments:
            first = min(max(0, int(centre) - (width - 1) // 2), count - width)
            picks.append(torch.cat([steps[:first], steps[first + width :]]))
        occlusion = np.zeros(len(moments))
        if width < count:
            occlusion = over_time[-1, output] - scores(picks)[:, output]
    try:
        cam = _grad_cam(network, clip, output=output)
    except torch.OutOfMemoryError:  # the graph of a whole clip is large, and only a picture
        warn("No Grad-CAM: the graphics memory does not hold the gradients of a whole clip.")
        cam = None
    return Drivers(moments, over_time, occlusion, cam)


def _grad_cam(network: Recognizer, clip: Tensor, *, output: int) -> NDArray[np.float64] | None:
    if isinstance(network.encoder, JoinedEncoder):
        return None
    learning = [(weight, weight.requires_grad) for weight in network.encoder.parameters()]
    try:
        # Also a frozen encoder's maps must stand in the graph.
        network.encoder.requires_grad_(True)
        # cuDNN's recurrent layers know no backward pass in evaluation.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            lengths = torch.tensor([len(clip)])
            encoded = network.encoder(clip, lengths)
            features = encoded.maps if network.temporal.takes == "maps" else encoded.pooled
            outputs = network(features[None], lengths, encoded=True)
            (gradient,) = torch.autograd.grad(outputs[0, output], encoded.maps, allow_unused=True)
        if gradient is None:
            return None
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        cam = torch.relu((weights * encoded.maps).sum(dim=1)).detach().cpu().double().numpy()
    finally:
        for weight, learns in learning:
            weight.requires_grad_(learns)
    most = cam.max()
    return np.asarray(cam / most if most > 0 else cam)
