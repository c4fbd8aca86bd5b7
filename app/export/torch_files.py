"""From traced graphs to files of torch.export, which PyTorch runs without cliptide."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from cliptide.app.export.parity import Arrays, Runner
from cliptide.app.export.tracing import Traced


def write_torch(traced: Traced, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a graph as a .pt2 file.

    Args:
        traced: The graph.
        path: The file.
        metadata: Texts to be kept in it by name (`extra_files` of torch.export.load).
    """
    # It tells of every loop whose body reads no weights.
    loud = logging.getLogger("torch._export.serde.serialize")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(traced.program, path, extra_files=dict(metadata))
    finally:
        loud.setLevel(level)


def torch_runner(path: Path) -> Runner:
    """What runs a .pt2 file on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(arrays: Arrays) -> Arrays:
        with torch.no_grad():
            found = module(*(torch.from_numpy(array) for array in arrays))
        return [tensor.numpy() for tensor in found]

    return run
