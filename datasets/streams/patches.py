"""Placeholder until images land."""

from typing import Any


def cut_patches(image: Any, *, size: tuple[int, int]) -> Any:
    raise NotImplementedError
