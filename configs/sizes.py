"""Sizes of pictures, as people write them."""

from cliptide.configs.errors import ConfigError


def parse_size(text: str | int, *, key: str = "data.size", least: int = 2) -> tuple[int, int]:
    """Read a frame size, `112` or `128x171` (height first).

    Args:
        text: What was given.
        key: Where, for the message.
        least: Pixels that a side has at least.

    Returns:
        (height, width) in pixels.

    Raises:
        ConfigError: The text is no size or a side is too small.
    """
    sides = str(text).lower().split("x")
    try:
        height, width = (int(sides[0]), int(sides[-1])) if len(sides) <= 2 else (0, 0)
    except ValueError:
        height = width = 0
    if min(height, width) < least:
        raise ConfigError(
            f"{key} is {str(text)!r}, which is no frame size. "
            f"Give the height and width in pixels, such as 112 or 128x171, each at least {least}."
        )
    return height, width
