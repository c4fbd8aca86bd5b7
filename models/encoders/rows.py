"""Windows of rows of numbers as one vector each: skeletons and sensors, some of them missing."""

import torch
from torch import Tensor, nn

from cliptide.configs.streams import JointMap
from cliptide.models.encoders.base import EncodedFrames, WindowEncoder


class RowsEncoder(WindowEncoder):
    """Two convolutions over the rows of a window, then its maximum and its mean into one vector.

        values (N, window, F), NaN where missing
            standardised, missing ones 0      F channels
            which are there                   F channels
            bones: child - parent             bones * axes channels, 0 where either is missing
        -> convolution, batch norm, ReLU, twice: maps (N, dim, 1, window)
        -> maximum and mean over the window -> linear -> dim

    Bones do not change with where somebody stands, as in the bone stream of 2s-AGCN (Shi et al.
    2019, "Two-Stream Adaptive Graph Convolutional Networks", section 3.3).

    Args:
        shape: (window, F) of a step.
        dim: D, the size of the vector.
        joints: What the F columns are, of skeletons.
    """

    def __init__(self, shape: tuple[int, ...], *, dim: int, joints: JointMap | None = None) -> None:
        super().__init__(shape)
        window, num_values = shape
        # Part of the weights: what the network learnt holds for values standardised so alone.
        self.register_buffer("centre", torch.zeros(num_values))
        self.register_buffer("spread", torch.ones(num_values))
        bones = joints.bones if joints is not None else ()
        self.axes = joints.axes if joints is not None else 1
        places = torch.tensor(bones, dtype=torch.int64).reshape(-1, 2)
        self.register_buffer("_parents", places[:, 0].clone(), persistent=False)
        self.register_buffer("_children", places[:, 1].clone(), persistent=False)
        self.num_bones = len(bones)
        channels = 2 * num_values + len(bones) * self.axes
        kernel = 3 if window >= 3 else 1
        self.features = nn.Sequential(
            nn.Conv1d(channels, dim, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(dim),
            nn.ReLU(inplace=True),
            nn.Conv1d(dim, dim, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(dim),
            nn.ReLU(inplace=True),
        )
        self.project = nn.Linear(2 * dim, dim)
        self.dim = self.channels = dim

    def standardise_by(self, centre: Tensor, spread: Tensor) -> None:
        """Take over where the columns of the training data lie.

        Args:
            centre: (F,) means; NaN of a column that is never there.
            spread: (F,) standard deviations, likewise. A column that never changes, as far as
                float32 tells, is not stretched.
        """
        centre = torch.nan_to_num(centre.to(torch.float32))
        spread = torch.nan_to_num(spread.to(torch.float32))
        still = spread <= 1e-6 * centre.abs()
        self.get_buffer("centre").copy_(centre)
        self.get_buffer("spread").copy_(torch.where(still, 1.0, spread))

    def encode(self, steps: Tensor) -> EncodedFrames:
        """Encode windows (N, window, F) float32, NaN where a number is missing."""
        centre, spread = self.get_buffer("centre"), self.get_buffer("spread")
        known = ~torch.isnan(steps)
        # Before all arithmetic: 0 * NaN would be NaN again, in the backward pass too.
        values = torch.where(known, steps, centre)
        there = known.to(values.dtype)
        parts = [(values - centre) / spread, there]
        if self.num_bones:
            parts.append(self._bones(values, there, spread))
        maps = self.features(torch.cat(parts, dim=2).transpose(1, 2))
        pooled = self.project(torch.cat([maps.amax(dim=2), maps.mean(dim=2)], dim=1))
        return EncodedFrames(maps.unsqueeze(2), pooled)

    def _bones(self, values: Tensor, there: Tensor, spread: Tensor) -> Tensor:
        """(N, window, bones * axes), on one scale for each axis, which keeps their directions."""
        parents, children = self.get_buffer("_parents"), self.get_buffer("_children")
        joints = (*values.shape[:2], -1, self.axes)
        points, seen = values.reshape(joints), there.reshape(joints)
        bones = points[:, :, children] - points[:, :, parents]
        bones = bones / spread.view(-1, self.axes).mean(dim=0)
        return (bones * seen[:, :, children] * seen[:, :, parents]).flatten(2)
