"""Tables of every format, compressed, encoded and damaged."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from training.data.tables import DataError
from training.ingest.rejects import LINE, Rejects
from training.ingest.sources import Source


def rows_of(path: Path, *columns: str, encoding: str = "utf-8", batch: int = 2) -> list[tuple]:
    source = Source.open(path, encoding)
    batches = source.batches(columns, Rejects(), batch)
    return [row for x in batches for row in x.select(*columns, LINE).iter_rows()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_encodings_and_compression(encoding: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    content = "user,Straße\nu1,ö\nu2,ß\nu3,ü\n".encode(encoding)
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    told = encoding if encoding == "latin-1" else "utf-8"
    assert rows_of(path, "Straße", "user", encoding=told) == [
        ("ö", "u1", 2),
        ("ß", "u2", 3),
        ("ü", "u3", 4),
    ]


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\n" * 50_000 + b"\xe9,2\n")
    with pytest.raises(DataError, match=r"x.csv:100001: is not utf-8 .*--encoding latin-1"):
        rows_of(path, "a", batch=10**5)


@pytest.mark.parametrize("written", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_of_several_files_some_may_be_utf_8(written: str, suffix: str, tmp_path: Path) -> None:
    content = ("user,Straße\n" + f"{'u' * 1000},Käse\n" * 2_000).encode(written)
    path = tmp_path / f"x.csv{suffix}"
    path.write_bytes(gzip.compress(content, 1) if suffix else content)
    rows = rows_of(path, "Straße", encoding="cp1252", batch=10**6)
    assert len(rows) == 2_000
    assert {row[0] for row in rows} == {"Käse"}


def test_an_encoding_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="'utf9', which is no encoding"):
        Source.open(tmp_path / "x.csv", "utf9")


def test_a_torn_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-20])
    with pytest.raises(DataError, match="is damaged"):
        rows_of(path, "a")


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"user": {"id": 7}, "tags": ["a", "b"], "ok": true}\n'
        "\n"
        '{"user": {"id": "ö"}, "late": 1.5, "tags": null}\n'
        "[1]\n"
        '{"user": {"id'
    )
    source, rejects = Source.open(path, "utf-8"), Rejects()
    assert source.names == ["user.id", "tags", "ok", "late"]
    (batch,) = source.batches(source.names, rejects)
    assert batch.rows() == [("7", "a|b", "true", "", 1), ("ö", "", "", "1.5", 3)]
    assert rejects.frame["line"].to_list() == [4, 5]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    moment = datetime(2024, 1, 5, 10, tzinfo=UTC)
    pl.DataFrame(
        {"user": [7.0, None, 1.5], "tags": [["a", "b"], [], None], "at": [moment, None, moment]}
    ).write_parquet(path)
    assert rows_of(path, "user", "tags", "at") == [
        ("7", "a|b", "2024-01-05 10:00:00.000000", 1),
        ("", "", "", 2),
        ("1.5", "", "2024-01-05 10:00:00.000000", 3),
    ]


def test_what_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("user,item\n")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        Source.open(path, "utf-8")


def test_typed_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.inter"
    path.write_text("user_id:token\titem_id:token\nu\ti\n")
    assert rows_of(path, "item_id") == [("i", 2)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "", "is empty"),
        ("x.tsv", "", "is empty"),
        ("x.csv", "user,user\n1,2\n", "'user' more than once .*header = true"),
        ("x.jsonl", "7\n", "no JSON object"),
        ("x.json", "[]", "no JSON object"),
        ("x.json", '[{"user": 1},\n{"user": 2', "x.json:2: cannot be read as JSON from here"),
        ("x.docx", "", "no known format .*name it .csv"),
        ("x.xlsx", "", "no known format .*save each sheet as .csv"),
    ],
)
def test_what_cannot_be_used(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        Source.open(tmp_path / name, "utf-8")


def test_a_file_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("196\t242\t3\n186\t302\t3\n")
    source = Source.open(path, "utf-8", columns=["user", "item", "rating"])
    (batch,) = source.batches(["item"], Rejects())
    assert batch.rows() == [("242", 1), ("302", 2)]
    with pytest.raises(DataError, match="has 3 columns, but the mapping names 2"):
        Source.open(path, "utf-8", columns=["user", "item"])


def test_a_column_named_as_the_line_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("line,user\n7,u\n")
    source = Source.open(tmp_path / "x.csv", "utf-8")
    assert next(source.batches(["line"], Rejects())).to_dicts() == [{"line": "7", LINE: 2}]
