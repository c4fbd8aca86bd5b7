"""Samples that are on disk twice: a split never parts them.

Their groups are joined, so that no training clip is a test clip under another name.
"""

from collections.abc import Sequence
from dataclasses import replace

from cliptide.datasets.catalog.catalog import Catalog
from cliptide.datasets.catalog.groups import join_groups
from cliptide.datasets.catalog.texts import text_digest, text_key
from cliptide.datasets.catalog.wording import counted
from cliptide.datasets.records import SampleRecord


def with_same_texts_together(catalog: Catalog) -> Catalog:
    """Join the groups of text files that hold the same text."""
    keys = [_key_of_text(record) for record in catalog.records]
    repeats = len(keys) - len(set(keys))
    note = f"Grouped with the file that has the same text: {counted(repeats, 'file')}."
    return _together(catalog, keys, shared="a text", note=note if repeats else "")


def with_same_names_together(catalog: Catalog) -> Catalog:
    """Join the groups of files of one folder whose names differ in their endings alone.

    a.wav is the sound of a.mp4 beside it, a.csv the numbers of a.npy.
    """
    if catalog.samples == "frames":  # whose folders have no endings
        return catalog
    # A file may have several records: parts of it.
    files = {record.source for record in catalog.records}
    repeats = len(files) - len({file.with_suffix("") for file in files})
    if not repeats:
        return catalog
    keys = [str(record.source.with_suffix("")) for record in catalog.records]
    note = (
        f"Grouped with the file beside it that differs in its ending alone: "
        f"{counted(repeats, 'file')}."
    )
    return _together(catalog, keys, shared="the name of a file", note=note)


def _key_of_text(record: SampleRecord) -> str:
    try:
        text = record.source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):  # training says so, and leaves it out
        return record.name
    return text_digest(text) if text_key(text) else record.name


def _together(catalog: Catalog, keys: Sequence[str], *, shared: str, note: str) -> Catalog:
    records = catalog.records
    column = [record.group if catalog.groups_known else "" for record in records]
    # Where no group is known, each is that of the file.
    files = [record.group for record in records]
    groups = join_groups(files, keys=keys, column=column, shared=shared)
    return replace(
        catalog,
        records=tuple(
            replace(record, group=group)
            for record, group in zip(records, groups.names, strict=True)
        ),
        notes=(*catalog.notes, *([note] if note else []), *groups.notes),
    )
