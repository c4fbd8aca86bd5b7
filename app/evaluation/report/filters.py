"""Texts as the page shows them: times, names that may break, facts with their links."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

# A longer fact has the whole width for itself.
_WIDE = 60
# Options, which must not be broken at their hyphens, and pages of folds.
_PARTS = re.compile(r"(--[\w.-]*\w|[^\s/()]+/report\.html)")
# Where a long name may go on in the next line: `sitDown`, `sit_down`.
_JOINTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=_)(?=[^_])")
# Not by `strftime`, whose names are in the language of the machine.
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def when(created: str) -> str:
    """A time from ISO text as `28 Nov 2026, 07:04 UTC`; any other text as it is."""
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return created
    month = _MONTHS[3 * time.month - 3 : 3 * time.month]
    zone = f" {time.tzname()}" if time.tzinfo else ""
    return f"{time.day} {month} {time.year}, {time:%H:%M}{zone}"


def breakable(name: str) -> Markup:
    """A name that may break between its words."""
    return Markup("<wbr>").join(escape(part) for part in _JOINTS.split(name))


def shown_facts(facts: Mapping[str, str], *, pages: Collection[str]) -> list[dict[str, Any]]:
    """The facts of the summary as `name`, `wide`, and `parts`: (text, kind).

    Args:
        facts: By name.
        pages: Pages that may be linked to, relative to this one.

    Returns:
        A part's kind is `page` for one of these pages, `flag` for an option, else empty.
    """

    def kind(text: str) -> str:
        if text.startswith("--"):
            return "flag"
        return "page" if text in pages else ""

    return [
        {
            "name": name[:1].upper() + name[1:],
            "wide": len(value) > _WIDE,
            "parts": [(part, kind(part)) for part in _PARTS.split(value) if part],
        }
        for name, value in facts.items()
    ]
