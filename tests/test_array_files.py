"""Files of rows of numbers: what is read of each kind, and what is refused, with the mend."""

import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cliptide.configs.errors import InputError, SampleError
from cliptide.datasets.streams import array_files
from cliptide.datasets.streams.array_files import read_array

NAN = float("nan")


def npy(folder: Path, values: Any) -> Path:
    path = folder / "a.npy"
    np.save(path, values)
    return path


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "a.npz"
    np.savez(path, **arrays)
    return path


def text(folder: Path, content: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "a.csv"
    path.write_bytes(content.encode(encoding))
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SampleError) as caught:
        read_array(path)
    message = str(caught.value)
    assert path.name in message
    return message


class TestNumpy:
    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u8", "?"])
    def test_real_numbers_of_any_type_become_float32(self, tmp_path: Path, dtype: str) -> None:
        values = np.array([[0, 1], [1, 1], [1, 0]], dtype=dtype)
        read = read_array(npy(tmp_path, values))
        assert read.values.dtype == np.float32
        assert read.values.tolist() == [[0, 1], [1, 1], [1, 0]]
        assert read.times_s is None
        assert read.columns == ()

    def test_one_axis_is_one_column_and_three_are_joint_by_joint(self, tmp_path: Path) -> None:
        assert read_array(npy(tmp_path, np.arange(5))).values.tolist() == [[0], [1], [2], [3], [4]]
        skeletons = np.arange(24).reshape(2, 4, 3)
        assert read_array(npy(tmp_path, skeletons)).values.tolist() == [
            list(range(12)),
            list(range(12, 24)),
        ]

    def test_columns_first_in_memory_are_read_right(self, tmp_path: Path) -> None:
        values = np.arange(6, dtype=np.float32).reshape(2, 3)
        assert (read_array(npy(tmp_path, np.asfortranarray(values))).values == values).all()

    def test_what_is_read_can_be_changed_and_the_file_stays(self, tmp_path: Path) -> None:
        path = npy(tmp_path, np.ones((2, 2), np.float32))
        read_array(path).values[:] = 7
        assert (read_array(path).values == 1).all()

    def test_nan_is_missing_and_stays(self, tmp_path: Path) -> None:
        values = read_array(npy(tmp_path, [[NAN, 1.0], [2.0, NAN]])).values
        assert np.isnan(values).tolist() == [[True, False], [False, True]]

    def test_an_archive_holds_one_array_or_values_and_times(self, tmp_path: Path) -> None:
        assert read_array(npz(tmp_path, poses=[[1, 2]])).values.tolist() == [[1, 2]]
        assert read_array(npz(tmp_path, values=[[1, 2]])).times_s is None
        read = read_array(npz(tmp_path, values=[[1], [2]], time_s=[0, 0.25]))
        assert read.values.tolist() == [[1], [2]]
        assert read.times_s is not None
        assert read.times_s.tolist() == [0, 0.25]

    @pytest.mark.parametrize(
        ("arrays", "held"),
        [
            ({"poses": [1], "labels": [2]}, "labels, poses"),
            ({"values": [1], "time_s": [0], "extra": [1]}, "extra, time_s, values"),
            ({"poses": [1], "time_s": [0]}, "poses, time_s"),
            ({"time_s": [0]}, "time_s"),
            ({}, "(none)"),
        ],
    )
    def test_other_archives_are_refused_by_their_names(
        self, tmp_path: Path, arrays: dict[str, Any], held: str
    ) -> None:
        message = refusal(npz(tmp_path, **arrays))
        assert f"holds the arrays {held}. Save one array, or values and time_s" in message

    def test_objects_are_never_loaded(self, tmp_path: Path) -> None:
        objects = np.array([{"a": 1}, None], dtype=object)
        for path in (npy(tmp_path, objects), npz(tmp_path, values=objects)):
            assert "holds Python objects, which are never loaded" in refusal(path)
            assert "np.asarray(values, dtype=np.float32)" in refusal(path)

    @pytest.mark.parametrize(
        ("values", "cause"),
        [
            (np.ones(3, complex), "complex128"),
            (np.array(["a", "b"]), "<U1"),
            (np.array(["2020-01-01"], "M8[s]"), "datetime64[s]"),
            (np.zeros(2, [("x", "f4"), ("y", "f4")]), "[('x', '<f4'), ('y', '<f4')]"),
        ],
    )
    def test_what_is_no_real_number_is_refused(
        self, tmp_path: Path, values: Any, cause: str
    ) -> None:
        message = refusal(npy(tmp_path, values))
        assert f"holds values of type {cause}, not real numbers. Save it as plain" in message

    @pytest.mark.parametrize("shape", [(), (2, 3, 4, 5)])
    def test_other_numbers_of_axes_are_refused(
        self, tmp_path: Path, shape: tuple[int, ...]
    ) -> None:
        message = refusal(npy(tmp_path, np.zeros(shape)))
        assert f"has the shape {shape}. Save rows (n, F), or skeletons" in message

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
    def test_no_rows_or_columns_are_refused(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        message = refusal(npy(tmp_path, np.zeros(shape)))
        assert f"no rows of numbers: its shape is {shape}. Leave it out." in message

    @pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
    def test_infinite_values_name_their_row(self, tmp_path: Path, value: float) -> None:
        message = refusal(npy(tmp_path, [[0, 0], [0, 1], [value, NAN]]))
        assert "row 2 (counted from 0) has a value that is infinite" in message
        assert "Write nan where a value is missing." in message

    def test_a_header_that_claims_more_than_the_file_takes_no_memory(self, tmp_path: Path) -> None:
        path = npy(tmp_path, np.zeros((1000, 1000)))
        whole = path.read_bytes()
        larger = whole.replace(b"(1000, 1000), }     ", b"(900000000, 1000), }")
        assert larger != whole
        path.write_bytes(larger)
        assert "cannot be read" in refusal(path)
        assert "Write it again." in refusal(path)


class TestTimes:
    @pytest.mark.parametrize("times", [[0, 1, 1], [0, 2, 1], [3, 2, 1]])
    def test_times_that_do_not_rise_name_the_row(self, tmp_path: Path, times: list[float]) -> None:
        message = refusal(npz(tmp_path, values=[1, 2, 3], time_s=times))
        row = next(i for i in (1, 2) if times[i] <= times[i - 1])
        assert f"time_s does not rise at row {row} (counted from 0): {times[row]:g} fol" in message
        assert "Sort the rows by time" in message

    @pytest.mark.parametrize("bad", [NAN, np.inf])
    def test_a_missing_time_names_the_row(self, tmp_path: Path, bad: float) -> None:
        message = refusal(npz(tmp_path, values=[1, 2, 3], time_s=[0, bad, 2]))
        assert f"time_s of row 1 (counted from 0) is {bad}. Give each row its time" in message

    def test_other_numbers_of_times_are_refused(self, tmp_path: Path) -> None:
        message = refusal(npz(tmp_path, values=[1, 2, 3], time_s=[0, 1]))
        assert "time_s has the shape (2,) beside 3 rows. Save one time a row." in message

    def test_times_keep_the_digits_that_float32_has_not(self, tmp_path: Path) -> None:
        path = text(tmp_path, "time_s,x\n1700000000.01,1\n1700000000.02,2\n")
        times_s = read_array(path).times_s
        assert times_s is not None
        assert times_s.tolist() == [1700000000.01, 1700000000.02]

    def test_times_that_are_no_seconds_are_refused(self, tmp_path: Path) -> None:
        message = refusal(npz(tmp_path, values=[1, 2, 3], time_s=[0, 1, 1.7e9]))
        assert "time_s goes from 0 to 1.7e+09, over 1.7e+09 s, more than the 1e+09 s" in message
        assert "time_s is in seconds: turn nanoseconds into seconds" in message
        assert read_array(npz(tmp_path, values=[1, 2], time_s=[5, 1e9])).times_s is not None


class TestCsv:
    @pytest.mark.parametrize("sign", [",", ";", "\t"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_header_delimiters_and_line_ends(
        self, tmp_path: Path, sign: str, end: str, encoding: str
    ) -> None:
        lines = ["x,time_s,y", "1,0.0,-2e1", " 3 ,0.5,", "nan,1.0,4", "", ""]
        path = text(tmp_path, end.join(lines).replace(",", sign), encoding=encoding)
        read = read_array(path)
        np.testing.assert_array_equal(read.values, [[1, -20], [3, NAN], [NAN, 4]])
        assert read.columns == ("x", "y")
        assert read.times_s is not None
        assert read.times_s.tolist() == [0, 0.5, 1]

    def test_without_a_header_the_first_line_is_a_row(self, tmp_path: Path) -> None:
        read = read_array(text(tmp_path, "1,2\n3,4"))
        assert read.values.tolist() == [[1, 2], [3, 4]]
        assert read.columns == ()
        np.testing.assert_array_equal(read_array(text(tmp_path, ",\n3,4")).values[0], [NAN, NAN])

    def test_a_header_may_have_an_empty_name_or_numbers_beside_time_s(self, tmp_path: Path) -> None:
        assert read_array(text(tmp_path, ",x\n0,5\n0,6\n")).columns == ("", "x")
        assert read_array(text(tmp_path, 'time_s,0,1\n0,5,"6"\n')).columns == ("0", "1")

    def test_of_one_column_an_empty_line_is_a_missing_number(self, tmp_path: Path) -> None:
        path = text(tmp_path, "\nx\n1\n\n3\n\n")
        np.testing.assert_array_equal(read_array(path).values, [[1], [NAN], [3]])
        assert read_array(text(tmp_path, "1,2\n\n  \n3,4\n")).values.tolist() == [[1, 2], [3, 4]]

    def test_tabs_at_a_lines_end_are_missing_numbers(self, tmp_path: Path) -> None:
        path = text(tmp_path, "1\t2\n3\t\n")
        np.testing.assert_array_equal(read_array(path).values, [[1, 2], [3, NAN]])

    @pytest.mark.parametrize(
        ("content", "place", "cell"),
        [
            ("x,y\n1,2\n3,four\n", "line 3, column 'y'", "'four'"),
            ("1,2\nfive,6\n", "line 2, column 1", "'five'"),
            ("1,two\n", "line 1, column 2", "'two'"),
            ("1,2\n3,1_000\n", "line 2, column 2", "'1_000'"),
            ("x;y\n1,5;2,5\n", "line 2, column 'x'", "'1,5'"),
            ("x,y\n\n1," + "z" * 99 + "\n", "line 3, column 'y'", "'" + "z" * 40 + "...'"),
            ('x,y\n1,"2\n3,4\n', "line 3, column 'y'", r"'2\n3,4'"),
        ],
    )
    def test_text_in_a_cell_names_line_and_column(
        self, tmp_path: Path, content: str, place: str, cell: str
    ) -> None:
        message = refusal(text(tmp_path, content))
        assert f"a.csv, {place}: {cell} is no number. Write numbers such as -1.5" in message

    def test_lines_of_other_lengths_are_refused(self, tmp_path: Path) -> None:
        message = refusal(text(tmp_path, "x,y\n1,2\n3,4,5\n"))
        assert "line 3 has 3 cells, but line 1 has 2. Give each line the same number" in message

    @pytest.mark.parametrize("content", ["\n\n", "x,y\n", "time_s,x"])
    def test_no_rows_are_refused(self, tmp_path: Path, content: str) -> None:
        assert "has no rows of numbers. Write it again" in refusal(text(tmp_path, content))

    def test_times_alone_or_twice_are_refused(self, tmp_path: Path) -> None:
        message = refusal(text(tmp_path, "time_s\n1\n"))
        assert "has time_s alone. Add columns of numbers." in message
        message = refusal(text(tmp_path, "time_s,time_s\n1,2\n"))
        assert "has several columns time_s. Keep one of them." in message

    def test_other_encodings_are_refused(self, tmp_path: Path) -> None:
        message = refusal(text(tmp_path, "größe\n1\n", encoding="latin-1"))
        assert "is not UTF-8 text" in message
        assert "Save it as a CSV file in UTF-8." in message

    def test_infinite_values_name_their_row(self, tmp_path: Path) -> None:
        assert "a.csv: line 3 has a value that is inf" in refusal(text(tmp_path, "x\n1\n-inf\n"))
        assert "a.csv: line 5 has a value" in refusal(text(tmp_path, "\nx,y\n1,2\n\n3,1e39\n"))
        message = refusal(text(tmp_path, "time_s,x\n1,0\n\n1,0\n"))
        assert "time_s does not rise at line 4: 1 follows 1" in message

    def test_a_tab_before_the_first_name_parts_it_from_an_empty_one(self, tmp_path: Path) -> None:
        read = read_array(text(tmp_path, "\n\tx\ty\n7\t1\t2.5\n7\t3\t4\n"))
        assert read.columns == ("", "x", "y")
        assert read.values.tolist() == [[7, 1, 2.5], [7, 3, 4]]

    @pytest.mark.parametrize("name", ["TIME_S", " Time_s "])
    def test_times_are_found_however_their_name_is_cased(self, tmp_path: Path, name: str) -> None:
        read = read_array(text(tmp_path, f"x,{name}\n5,0\n6,0.5\n"))
        assert read.columns == ("x",)
        assert read.times_s is not None and read.times_s.tolist() == [0, 0.5]

    @pytest.mark.parametrize("header", ["x,y,x", "x, x ,y", "y,,"])
    def test_two_columns_of_one_name_are_refused(self, tmp_path: Path, header: str) -> None:
        message = refusal(text(tmp_path, f"{header}\n1,2,3\n"))
        assert f"has several columns {'x' if 'x' in header else ''!r}. Keep one" in message

    @pytest.mark.parametrize("name", ["", "Unnamed: 0"])
    @pytest.mark.parametrize("first", [0, 100])
    def test_the_index_of_a_table_is_no_column(self, tmp_path: Path, name: str, first: int) -> None:
        rows = "".join(f"{first + row},{row % 2}\n" for row in range(5))
        message = refusal(text(tmp_path, f"{name},x\n{rows}"))
        assert "its first column has no name and counts the rows" in message
        assert "to_csv(path, index=False)" in message
        assert read_array(text(tmp_path, f"frame,x\n{rows}")).columns == ("frame", "x")

    def test_ten_megabytes_take_about_a_second(self, tmp_path: Path) -> None:
        """0.4 s of this process alone on the machine of development."""
        line = ",".join(["-0.123456"] * 100) + "\n"
        path = text(tmp_path, line * 10_000)
        before = time.process_time()
        assert read_array(path).values.shape == (10_000, 100)
        assert time.process_time() - before < 3


class TestParquet:
    def test_columns_of_numbers_and_times(self, tmp_path: Path) -> None:
        path = parquet(
            tmp_path,
            x=pa.array([1.5, None, 2.5]),
            time_s=pa.array([0, 1, 2]),
            n=pa.array([1, 2, None], pa.int16()),
            seen=pa.array([True, False, None]),
            half=pa.array(np.array([1, 2, 3], np.float16)),
            none=pa.nulls(3),
        )
        read = read_array(path)
        assert read.columns == ("x", "n", "seen", "half", "none")
        assert read.times_s is not None
        assert read.times_s.tolist() == [0, 1, 2]
        expected = [[1.5, 1, 1, 1, NAN], [NAN, 2, 0, 2, NAN], [2.5, NAN, NAN, 3, NAN]]
        np.testing.assert_array_equal(read.values, expected)

    def test_names_of_folders_become_no_columns(self, tmp_path: Path) -> None:
        folder = tmp_path / "person=3"
        folder.mkdir()
        assert read_array(parquet(folder, x=[1.0])).columns == ("x",)

    def test_other_columns_are_refused_by_name(self, tmp_path: Path) -> None:
        message = refusal(parquet(tmp_path, x=[1.0], who=["me"]))
        assert "column 'who' is of type string. Keep columns of numbers alone" in message

    def test_no_rows_are_refused(self, tmp_path: Path) -> None:
        message = refusal(parquet(tmp_path, x=pa.array([], pa.float32())))
        assert "no rows of numbers: its shape is (0, 1). Leave it out." in message

    def test_without_pyarrow_the_line_that_installs_it_is_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = parquet(tmp_path, x=[1.0])
        monkeypatch.setitem(sys.modules, "pyarrow", None)  # Python's own sign that it is not there
        with pytest.raises(InputError, match=r"needs pyarrow.*pip install 'cliptide\[parquet\]'"):
            read_array(path)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("whole")
    values, times = np.arange(12.0).reshape(4, 3), np.arange(4.0)
    return [
        npy(folder, values),
        npz(folder, values=values, time_s=times),
        text(folder, "time_s,x\n0,1\n1,2\n"),
        parquet(folder, x=[1.0, 2.0], time_s=[0.0, 1.0]),
    ]


@settings(
    deadline=None,
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    which=st.integers(0, 3),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
)
def test_damaged_files_are_read_or_refused_and_never_crash(
    whole_files: list[Path], tmp_path: Path, which: int, cut: float, flips: list[tuple[float, int]]
) -> None:
    path = whole_files[which]
    content = bytearray(path.read_bytes())
    for place, value in flips:
        content[int(place * (len(content) - 1))] = value
    if not flips:
        content = content[: int(cut * len(content))]
    damaged = tmp_path / path.name
    damaged.write_bytes(content)
    try:
        read = read_array(damaged)
    except SampleError as error:
        assert damaged.name in str(error)
    else:
        assert not np.isinf(read.values).any()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.parquet"])
def test_files_of_another_kind_under_a_wrong_name_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("x,y\n1,2\n")
    assert "cannot be read" in refusal(path)
    assert "Write it again." in refusal(path)


@pytest.mark.parametrize("name", ["npz", "parquet", "csv", "npy"])
def test_what_would_fill_the_memory_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(array_files, "MOST_BYTES", 2**20)
    zeros = np.zeros(2**17 + 99)  # a little more than that
    path = tmp_path / f"a.{name}"
    if name == "npz":
        np.savez_compressed(path, values=zeros)
    elif name == "parquet":
        parquet(tmp_path, x=zeros)
    elif name == "csv":
        path.write_text("0000000\n" * len(zeros))
    else:
        np.save(path, zeros)
    assert path.stat().st_size < 10_000 or name in ("csv", "npy")
    tracemalloc.start()
    message = refusal(path)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "holds 1 MiB, and 1 MiB are the most that is read. Cut it into several" in message
    assert most_bytes < 2**20


def test_empty_missing_and_unknown_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").touch()
    assert "is empty. Write it again, or leave it out." in refusal(tmp_path / "a.npy")
    assert "is not there. Correct the path." in refusal(tmp_path / "b.npy")
    (tmp_path / "folder.csv").mkdir()
    assert "is not there. Correct the path." in refusal(tmp_path / "folder.csv")
    message = refusal(tmp_path / "a.mat")
    assert "no file of numbers that can be read. Use one of: .npy, .npz, .csv" in message
