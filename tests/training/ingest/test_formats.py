"""Records of separated text, as people and programs write it."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.tables import DataError
from training.ingest.formats import (
    BROKEN_QUOTES,
    WRONG_FIELDS,
    Dialect,
    dialect_of,
    records,
    text_lines,
)

COMMAS = Dialect(separator=",", quoted=True)


def read(text: str, dialect: Dialect = COMMAS) -> list[tuple[int, list[str], str | None]]:
    return [tuple(record) for record in records(iter(text.splitlines(keepends=True)), dialect)]


def test_quotes_hold_separators_line_ends_and_quotes() -> None:
    text = 'a,b\n"1, ""one""\nand more",2\n\n3,4\n'
    assert read(text) == [
        (1, ["a", "b"], None),
        (2, ['1, "one"\nand more', "2"], None),
        (5, ["3", "4"], None),
    ]


def test_a_quote_that_is_never_closed_costs_its_line_alone() -> None:
    lines = ["a,b", '"1,2', *(f"{n},x" for n in range(100_000))]
    found = read("\n".join(lines) + "\n")
    assert found[1] == (2, ['"1,2'], BROKEN_QUOTES)
    assert len(found) == len(lines)
    assert all(fault is None for _, _, fault in found[2:])


def test_a_quote_that_closes_too_late_costs_the_lines_that_cannot_be_read() -> None:
    found = read('a,b\n"1,2\n3,4\n5","6\n7,8\n')
    assert [(line, fault) for line, _, fault in found] == [
        (1, None),
        (2, BROKEN_QUOTES),
        (3, None),
        (4, BROKEN_QUOTES),
        (5, None),
    ]


def test_a_line_that_breaks_off() -> None:
    assert read("a,b,c\n1,2,3\n4,5")[-1] == (3, ["4,5"], WRONG_FIELDS)


def test_between_tabs_a_quote_is_a_letter(tmp_path: Path) -> None:
    path = tmp_path / "titles.tsv"
    path.write_text('id\ttitle\n1\t"Great" Performances\n')
    dialect = dialect_of(path, "utf-8", None, None)
    with path.open(newline="") as lines:
        assert list(records(lines, dialect))[1].fields == ["1", '"Great" Performances']


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_separator_is_told_by_the_lines(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [["user", "item", "rating"], ["u,1", "i;2", "4,5"], ["u|3", "i 4", "3"]]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    dialect = dialect_of(path, "utf-8", None, quoted=True)
    assert dialect.separator == separator
    with path.open(newline="") as lines:
        assert [record.fields for record in records(lines, dialect)] == rows


def test_one_column_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("users\nu1\n")
    with pytest.raises(DataError, match="has one column only"):
        dialect_of(path, "utf-8", None, None)


FIELDS = st.lists(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2
    ),
    min_size=1,
)


@given(FIELDS)
def test_what_a_writer_writes_is_read(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    lines = io.StringIO(text.getvalue(), newline="")
    assert [record.fields for record in records(lines, COMMAS)] == rows


def imported_rows(path: Path, encoding: str = "utf-8") -> list[list[str]]:
    dialect = dialect_of(path, encoding, None, None)
    with text_lines(path, encoding) as lines:
        return [fields for _, fields, fault in records(lines, dialect) if fault is None]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_unmarked_utf_16_is_known_by_its_zeros(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("user,item\nkäthe,ø\n".encode(encoding))
    assert imported_rows(tmp_path / "x.csv") == [["user", "item"], ["käthe", "ø"]]


def test_a_file_in_a_named_encoding_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("user,item\nu,é\n".encode("latin-1"))
    assert imported_rows(tmp_path / "x.csv", "latin-1") == [["user", "item"], ["u", "é"]]


def test_spreadsheets_quote_between_tabs(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('item\ttitle\na\t"Say ""tea"""\nb\t"Two\nlines"\n')
    assert imported_rows(tmp_path / "x.csv")[1:] == [["a", 'Say "tea"'], ["b", "Two\nlines"]]
    (tmp_path / "x.csv").write_text('item\ttitle\na\t"Weird Al" Yankovic\n')
    assert imported_rows(tmp_path / "x.csv")[1:] == [["a", '"Weird Al" Yankovic']]


def test_quotes_behind_backslashes(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('item,title\na,"Say \\"tea\\", twice"\nb,C:\\\\\n')
    assert imported_rows(tmp_path / "x.csv")[1:] == [["a", 'Say "tea", twice'], ["b", "C:\\"]]
    (tmp_path / "x.csv").write_text('item,path\na,"C:\\"\nb,"say ""x"""\n')
    assert imported_rows(tmp_path / "x.csv")[1:] == [["a", "C:\\"], ["b", 'say "x"']]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_a_title_above_the_header_is_skipped(name: str, tmp_path: Path) -> None:
    mark = "\t" if name == "x.tsv" else ";"
    text = f"Export of 2025-03-01\n\nuser{mark}item\nu{mark}i\n"
    (tmp_path / name).write_text(text)
    assert imported_rows(tmp_path / name) == [["user", "item"], ["u", "i"]]
