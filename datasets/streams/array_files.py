"""Files of rows of numbers: one row a moment, NaN where a number is missing.

.npy      (n,), (n, F) or (n, joints, axes)
.npz      one such array, or `values` with or without `time_s`
.csv      a row a line, with or without a header; a column time_s gives the times, however it is
          cased
.parquet  columns of numbers; a column time_s gives the times
"""

import csv
import io
import threading
import tokenize
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import InputError, SampleError
from cliptide.datasets.suffixes import ARRAY_SUFFIXES

TIME = "time_s"
# Thirty years. Beyond it, times are nanoseconds, or those of a clock that was set on the way.
LONGEST_S = 1e9

# What numpy and zipfile raise for files that are cut, altered, or claim more than they hold.
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    MemoryError,
    OverflowError,
    # numpy reads the header of an array as Python's notation.
    SyntaxError,
    TypeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
# Of the numbers as they lie in memory: what is larger is no sequence, and an archive of zeros that
# is a thousandth as large on the disk would fill the memory.
MOST_BYTES = 2**30
# numpy parses the headers of arrays by `ast`, which in Python 3.11 fails now and then where threads
# do so at once ("AST constructor recursion depth mismatch", CPython's issue 106905).
_HEADERS = threading.Lock()
# What the index of a table is called that was written with it, once and again.
_INDEX_NAMES = ("", "Unnamed: 0")
_QUOTED = 40  # characters of a cell that an error shows at most


@dataclass(frozen=True)
class ArrayFile:
    """What a file holds.

    Attributes:
        values: (n, F) float32, finite, or NaN where a number is missing; n and F are 1 or more.
        times_s: (n,) float64, seconds, rising; None where the file has no times.
        columns: F different names; empty where the file names none.
    """

    values: NDArray[np.float32]
    times_s: NDArray[np.float64] | None
    columns: tuple[str, ...]


class _Held(NamedTuple):
    """A file as it lies there, before it is checked; `lines` says where each row stands."""

    values: NDArray[Any]
    times: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()
    lines: Sequence[int] | None = None

    def place(self, row: int) -> str:
        """Where a row is, for errors."""
        return f"row {row} (counted from 0)" if self.lines is None else f"line {self.lines[row]}"


def read_array(path: Path) -> ArrayFile:
    """Read a file of rows of numbers; what the suffixes mean, see above.

    A 1-D array is one column, a 3-D one (n, joints, axes) has joints * axes columns, joint by
    joint. Nothing in a file is ever run: arrays of Python objects are refused.

    Raises:
        SampleError: The file is not there, damaged, empty, larger than 1 GiB, or holds other than
            rows of numbers.
        InputError: It is .parquet, and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise SampleError(
            f"{path} is no file of numbers that can be read. Use one of: "
            f"{', '.join(ARRAY_SUFFIXES)}."
        )
    if not path.is_file():
        raise SampleError(f"{path} is not there. Correct the path.")
    if path.stat().st_size == 0:
        raise SampleError(f"{path} is empty. Write it again, or leave it out.")
    _refuse_large(path, path.stat().st_size)
    held = _READERS[suffix](path)
    values = _rows_of(_numbers(held.values, path), path)
    times_s = None
    if held.times is not None:
        times_s = _rising(_numbers(held.times, path), values, held, path)
    return ArrayFile(_finite(values, held, path), times_s, held.columns)


def _refuse_large(path: Path, num_bytes: int) -> None:
    if num_bytes > MOST_BYTES:
        raise SampleError(
            f"{path} holds {num_bytes / 2**20:,.0f} MiB, and {MOST_BYTES / 2**20:,.0f} MiB are the "
            "most that is read. Cut it into several samples, or leave it out."
        )


def _numbers(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Refuse what is not real numbers."""
    if values.dtype.kind in "biuf":
        return values
    raise SampleError(
        f"{path} holds values of type {values.dtype}, not real numbers. Save it as plain numbers: "
        "np.save(path, np.asarray(values, dtype=np.float32))."
    )


def _rows_of(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Arrays of 1 to 3 axes as (n, F)."""
    if not 1 <= values.ndim <= 3:
        raise SampleError(
            f"{path} has the shape {values.shape}. Save rows (n, F), or skeletons "
            "(n, joints, axes) with one person a file."
        )
    if values.size == 0:
        raise SampleError(
            f"{path} has no rows of numbers: its shape is {values.shape}. Leave it out."
        )
    return values.reshape(len(values), -1)


def _finite(values: NDArray[Any], held: _Held, path: Path) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold is found below
        narrow = np.array(values, dtype=np.float32)
    infinite = np.isinf(narrow).any(axis=1)
    if infinite.any():
        raise SampleError(
            f"{path}: {held.place(int(infinite.argmax()))} has a value that is infinite or above "
            "3e38. Write nan where a value is missing."
        )
    return narrow


def _rising(
    times: NDArray[Any], values: NDArray[Any], held: _Held, path: Path
) -> NDArray[np.float64]:
    if times.shape != (len(values),):
        raise SampleError(
            f"{path}: {TIME} has the shape {times.shape} beside {len(values)} rows. Save one time "
            "a row."
        )
    times_s = np.array(times, dtype=np.float64)
    unknown = ~np.isfinite(times_s)
    if unknown.any():
        row = int(unknown.argmax())
        raise SampleError(
            f"{path}: {TIME} of {held.place(row)} is {times_s[row]}. Give each row its time in "
            "seconds."
        )
    falls = np.diff(times_s) <= 0
    if falls.any():
        row = int(falls.argmax()) + 1
        raise SampleError(
            f"{path}: {TIME} does not rise at {held.place(row)}: {times_s[row]:g} follows "
            f"{times_s[row - 1]:g}. Sort the rows by time, and keep one of those that share a time."
        )
    span_s = float(times_s[-1] - times_s[0])
    if span_s > LONGEST_S:
        raise SampleError(
            f"{path}: {TIME} goes from {times_s[0]:g} to {times_s[-1]:g}, over {span_s:g} s, more "
            f"than the {LONGEST_S:g} s that are read. {TIME} is in seconds: turn nanoseconds into "
            "seconds, and take out rows whose clock had not been set."
        )
    return times_s


def _damaged(path: Path, error: BaseException) -> SampleError:
    cause = str(error).strip().splitlines() or [type(error).__name__]
    return SampleError(f"{path} cannot be read: {cause[0].rstrip('.')}. Write it again.")


def _pickled(path: Path) -> SampleError:
    return SampleError(
        f"{path} holds Python objects, which are never loaded: they can run code. Save it as plain "
        "numbers: np.save(path, np.asarray(values, dtype=np.float32))."
    )


def _read_npy(path: Path) -> _Held:
    try:
        # Mapped, a header that claims more than the file holds is found before memory is taken.
        with _HEADERS:
            return _Held(np.lib.format.open_memmap(path, mode="r"))
    except _DAMAGED as error:
        if "Python objects" in str(error):
            raise _pickled(path) from None
        raise _damaged(path, error) from error


def _read_npz(path: Path) -> _Held:
    try:
        # numpy takes a file that is no archive for a pickle, and says so.
        with zipfile.ZipFile(path) as archive:
            _refuse_large(path, sum(part.file_size for part in archive.infolist()))
        with np.load(path, allow_pickle=False) as arrays:
            names = list(arrays.files)
            known = names if len(names) == 1 else ["values"]
            if names == [TIME] or not set(known) <= set(names) <= {*known, TIME}:
                raise SampleError(
                    f"{path} holds the arrays {', '.join(sorted(names)) or '(none)'}. Save one "
                    f"array, or values and {TIME}: np.savez(path, values=..., {TIME}=...)."
                )
            with _HEADERS:
                values = arrays[known[0]]
                times = arrays[TIME] if TIME in names else None
    except _DAMAGED as error:
        if "Object arrays" in str(error):
            raise _pickled(path) from None
        raise _damaged(path, error) from error
    if not isinstance(values, np.ndarray) or not isinstance(times, np.ndarray | None):
        raise SampleError(f"{path} holds files that are no arrays. Write it with np.savez.")
    return _Held(values, times)


def _read_csv(path: Path) -> _Held:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SampleError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}. Save it as a CSV "
            "file in UTF-8."
        ) from None
    except OSError as error:
        raise _damaged(path, error) from error
    # Of one column, an empty line is a missing number; those at the end are the file's end.
    text = text.rstrip("\r\n")
    head = next((line for line in io.StringIO(text) if line.strip()), "")
    # Decimal commas make commas the weakest sign: they are refused below, as text in a cell.
    delimiter = next((sign for sign in "\t;" if sign in head), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] | None = None
    width = first_line = 0
    flat, lines = array("d"), array("q")
    try:
        for row in reader:
            is_blank = len(row) < 2 and not "".join(row).strip()
            if not width:
                if is_blank:
                    continue
                width, first_line = len(row), reader.line_num
                if _is_header(row):
                    names = [cell.strip() for cell in row]
                    continue
            if is_blank:
                if width > 1:
                    continue
                row = [""]
            if len(row) != width:
                raise SampleError(
                    f"{path}, line {reader.line_num} has {len(row)} cells, but line {first_line} "
                    f"has {width}. Give each line the same number of cells."
                )
            lines.append(reader.line_num)
            try:
                # Python reads 1_000 as a number; in a file of numbers it is a slip.
                flat.extend([float(cell.replace("_", "?") or "nan") for cell in row])
            except ValueError:
                flat.extend(_cells(row, names, f"{path}, line {reader.line_num}"))
    except csv.Error as error:
        raise _damaged(path, error) from error
    if not flat:
        raise SampleError(f"{path} has no rows of numbers. Write it again, or leave it out.")
    values = np.frombuffer(flat).reshape(-1, width)
    if names is None:
        return _Held(values, lines=lines)
    return _by_columns(values, names, path, lines=lines)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_time(name: str) -> bool:
    return name.strip().casefold() == TIME


def _is_header(row: Sequence[str]) -> bool:
    """Whether a first line names columns: one number in it makes it a row, unless it has time_s."""
    cells = [cell.strip() for cell in row]
    if any(map(_is_time, cells)):
        return True
    return any(cells) and not any(_is_number(cell) for cell in cells)


def _cells(row: Sequence[str], names: Sequence[str] | None, where: str) -> list[float]:
    """The numbers of a row that is not as plain as most.

    Raises:
        SampleError: A cell is text.
    """
    numbers = []
    for place, cell in enumerate(row):
        bare = cell.strip()
        if bare and ("_" in bare or not _is_number(bare)):
            column = repr(names[place]) if names and names[place] else str(place + 1)
            shown = bare if len(bare) <= _QUOTED else bare[:_QUOTED] + "..."
            raise SampleError(
                f"{where}, column {column}: {shown!r} is no number. Write numbers such as -1.5, "
                "and leave the cell empty where one is missing."
            )
        numbers.append(float(bare or "nan"))
    return numbers


def _read_parquet(path: Path) -> _Held:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            f"{path}: reading .parquet needs pyarrow. Install it with: "
            "pip install 'cliptide[parquet]'"
        ) from None
    try:
        # One file and no data set: names of folders such as a=1 must not become columns. One
        # thread: the workers of a loader are many already.
        with pq.ParquetFile(path) as file:
            for field in file.schema_arrow:
                if not _arrow_number(field.type, pa.types):
                    raise SampleError(
                        f"{path}, column {field.name!r} is of type {field.type}. Keep columns of "
                        f"numbers alone, and times as seconds in {TIME}."
                    )
            # As float64, which they become below.
            _refuse_large(path, 8 * file.metadata.num_rows * file.metadata.num_columns)
            table = file.read(use_threads=False)
    except (pa.ArrowException, *_DAMAGED) as error:
        raise _damaged(path, error) from error
    # Unsafe, because whole numbers above 2**53 are rounded, as everywhere here.
    columns = [column.cast(pa.float64(), safe=False).to_numpy() for column in table.columns]
    values = np.column_stack(columns) if columns else np.empty((0, 0))
    return _by_columns(values, table.schema.names, path)


def _arrow_number(kind: Any, types: Any) -> bool:
    tests = (types.is_floating, types.is_integer, types.is_decimal, types.is_boolean, types.is_null)
    return any(test(kind) for test in tests)


def _by_columns(
    values: NDArray[Any], names: Sequence[str], path: Path, *, lines: Sequence[int] | None = None
) -> _Held:
    """Tell the columns (n, F) by their names, and set time_s apart.

    Raises:
        SampleError: Two have one name, one is a table's index, or there are times alone.
    """
    names = [TIME if _is_time(name) else name.strip() for name in names]
    for name, count in Counter(names).items():
        if count > 1:
            called = name if name == TIME else repr(name)
            raise SampleError(f"{path} has several columns {called}. Keep one of them.")
    if names and names[0] in _INDEX_NAMES and (np.diff(values[:, 0]) == 1).all():
        raise SampleError(
            f"{path}: its first column has no name and counts the rows. Write it without an index "
            "(pandas: to_csv(path, index=False)), or give the column a name."
        )
    if TIME not in names:
        return _Held(values, columns=tuple(names), lines=lines)
    place = names.index(TIME)
    if len(names) == 1:
        raise SampleError(f"{path} has {TIME} alone. Add columns of numbers.")
    rest = tuple(name for name in names if name != TIME)
    return _Held(np.delete(values, place, axis=1), values[:, place], rest, lines)


_READERS = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv, ".parquet": _read_parquet}
