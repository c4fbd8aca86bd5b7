"""Endings of files of numbers, texts and tables, in small letters."""

# In the order in which they are looked for beside a video.
ARRAY_SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
TEXT_SUFFIXES = frozenset({".txt"})
# Lists of samples, or of texts.
TABLE_SUFFIXES = frozenset({".csv", ".tsv"})
