"""How people write the names of splits, in a column or on a folder."""

from cliptide.datasets.records import Split

# Compared without regard to case.
SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
