"""Tables of docs/models.md: written between their marks, so that no figure is copied by hand."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "models.md"


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}".replace("%", " %")


def write_between(mark: str, text: str) -> None:
    """Put a table between its marks in docs/models.md."""
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
    before, rest = PAGE.read_text("utf-8").split(start)
    PAGE.write_text(before + start + text + end + rest.split(end)[1], encoding="utf-8")
