"""Tables of the pages in docs: written between their marks, so that no figure is copied by hand."""

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}".replace("%", " %")


def write_between(mark: str, text: str, *, page: str = "models.md") -> None:
    """Put a table between its marks in a page of docs."""
    path = DOCS / page
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
    before, rest = path.read_text("utf-8").split(start)
    path.write_text(before + start + text + end + rest.split(end)[1], encoding="utf-8")
