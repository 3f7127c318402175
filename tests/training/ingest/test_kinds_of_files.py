"""What other projects' data come as: compressed, packed, of another kind, or of other shapes.

RecBole, LightGCN, implicit, Surprise, Microsoft Recommenders: which files users try to load.
"""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from deploy.cli.app import main

CHOSEN = [(f"u{row % 6}", f"p{7 * row % 11}", 1 + row % 5) for row in range(60)]
TEXT = "user,item,rating\n" + "".join(f"{u},{i},{r}\n" for u, i, r in CHOSEN)


def command(path: Path, *options: str) -> int:
    return main(["import", str(path), "--out", str(path.parent / "out"), *options])


def kept(path: Path) -> pl.DataFrame:
    """The interactions of an import that succeeds."""
    assert command(path, "--force") == 0
    (found,) = (path.parent / "out").glob("*.inter")
    return pl.read_csv(found, separator="\t", infer_schema=False)


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.csv.bz2", "e.csv.xz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compression_is_told_by_content(
    name: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(pack(TEXT.encode()))
    assert len(kept(tmp_path / name)) == 60


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_and_cut_off(pack: Callable[[bytes], bytes], tmp_path: Path, capsys) -> None:
    whole = pack(TEXT.encode() * 200)
    for content in (whole[: len(whole) // 2], whole[:20] + bytes(20) + whole[40:]):
        (tmp_path / "e.csv").write_bytes(content)
        assert command(tmp_path / "e.csv") == 1
        assert "e.csv: is damaged (" in capsys.readouterr().err


def _zip() -> bytes:
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr("e.csv", TEXT)
    return content.getvalue()


def _tar() -> bytes:
    with tarfile.open(fileobj=(content := io.BytesIO()), mode="w:gz") as archive:
        member = tarfile.TarInfo("e.csv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT.encode()))
    return content.getvalue()


def _parquet() -> bytes:
    pl.read_csv(TEXT.encode()).write_parquet(content := io.BytesIO())
    return content.getvalue()


def _arrow() -> bytes:
    pl.read_csv(TEXT.encode()).write_ipc(content := io.BytesIO())
    return content.getvalue()


def _sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table orders (user, item)")
        return database.serialize()


FOREIGN = [
    (_zip(), "zip archive", "unpack it"),
    (_tar(), "archive", "tar -xf"),
    (_parquet(), "Parquet", "name it .parquet"),
    (_arrow(), "Arrow", "CSV or Parquet"),
    (_sqlite(), "SQLite", "sqlite3 -header -csv"),
    (b"%%MatrixMarket matrix coordinate real general\n6 11 1\n1 1 5\n", "matrix", "each entry"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied, twice</Code></Error>', "XML", "server"),
    (b"<!DOCTYPE html>\n<p>Sign in, please</p>\n", "web page", "get it again"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS", "git lfs pull"),
]


@pytest.mark.parametrize(("content", "what", "remedy"), FOREIGN)
@pytest.mark.parametrize("name", ["e.csv", "e.db", "e.json"])
def test_what_is_no_text_is_named_with_what_to_do(
    content: bytes, what: str, remedy: str, name: str, tmp_path: Path, capsys
) -> None:
    (tmp_path / name).write_bytes(content)
    assert command(tmp_path / name) == 1
    said = capsys.readouterr().err
    assert f"{name}: is " in said
    assert what in said
    assert remedy in said
    assert "encoding" not in said


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["0 1 2 3", "1 2", "2 0 5 6 7"], "many items on one line"),  # LightGCN
        (["1 1:5 2:3", "1 3:1 4:4", "0 1:1 2:2"], "many items on one line"),  # LIBSVM
        (["1:", "6,3,2005-09-06", "7,5,2005-05-13", "2:", "6,4,2005-10-19"], "awk"),  # Netflix
    ],
)
def test_lines_that_are_no_single_choice(lines: list[str], word: str, tmp_path: Path, capsys):
    (tmp_path / "train.txt").write_text("\n".join(20 * lines) + "\n")
    assert command(tmp_path / "train.txt") == 1
    assert word in capsys.readouterr().err


def test_netflix_by_the_command_that_is_named(tmp_path: Path) -> None:
    """What `awk` makes of it is read, the columns once named."""
    (tmp_path / "e.csv").write_text(
        "".join(f"{i[1:]},{u[1:]},{r},2005-09-06\n" for u, i, r in CHOSEN)
    )
    (tmp_path / "m.toml").write_text(
        '[interactions]\nfiles = ["e.csv"]\ncolumns = ["item", "user", "rating", "day"]\n'
        'item = "item"\nuser = "user"\nrating = "rating"\ntimestamp = "day"\n'
    )
    assert command(tmp_path / "e.csv", "--mapping", str(tmp_path / "m.toml")) == 0


def test_blanks_between_fields(tmp_path: Path, capsys) -> None:
    """Epinions, FilmTrust and Ciao; a header decides whether the names are asked for."""
    rows = [f"{u} {i} {r}" for u, i, r in CHOSEN]
    (tmp_path / "ratings.txt").write_text("\n".join(["user item rating", *rows]))
    assert len(kept(tmp_path / "ratings.txt")) == 60
    (tmp_path / "ratings.txt").write_text(
        "\n".join(row.replace("u", "").replace("p", "") for row in rows)
    )
    assert command(tmp_path / "ratings.txt", "--force") == 2
    assert 'columns = ["user", "item", "rating"]' in capsys.readouterr().err


@pytest.mark.parametrize("orient", ["columns", "index", "split", "list"])
def test_json_of_pandas_that_is_not_by_rows(orient: str, tmp_path: Path, capsys) -> None:
    rows = [dict(zip(("user", "item", "rating"), row, strict=True)) for row in CHOSEN]
    by_place = {str(place): row for place, row in enumerate(rows)}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    whole = {
        "columns": {name: dict(enumerate(values)) for name, values in columns.items()},
        "index": by_place,
        "split": {"columns": [*columns], "index": [*by_place], "data": CHOSEN},
        "list": columns,
    }[orient]
    (tmp_path / "e.json").write_text(json.dumps(whole))
    assert command(tmp_path / "e.json") == 1
    assert "orient='records'" in capsys.readouterr().err


def test_extended_json_of_a_database(tmp_path: Path) -> None:
    """MongoDB's export, both forms of a moment, and Firestore's."""
    moments: list[object] = [
        {"$date": "2024-03-01T10:00:00Z"},
        {"$date": {"$numberLong": "1709287200000"}},
        {"_seconds": 1709287200, "_nanoseconds": 0},
    ]
    for moment in moments:
        rows = [
            {
                "user": {"$numberLong": u[1:]},
                "item": {"$oid": f"{i[1:]:>024}"},
                "created_at": moment,
            }
            for u, i, _ in CHOSEN
        ]
        (tmp_path / "e.json").write_text("\n".join(map(json.dumps, rows)))
        frame = kept(tmp_path / "e.json")
        assert set(frame["user_id"]) == {"0", "1", "2", "3", "4", "5"}
        assert set(frame["timestamp"]) == {"1709287200"}


def test_sessions_with_lists_of_events(tmp_path: Path, capsys) -> None:
    """OTTO: the session was offered as the user and as the item."""
    rows = [{"session": k, "events": [{"aid": 3, "ts": 5}, {"aid": 4, "ts": 6}]} for k in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert command(tmp_path / "train.jsonl") == 1
    assert "holds several ids in one cell; write one row for each" in capsys.readouterr().err


def test_a_first_row_with_a_moment_is_no_header(tmp_path: Path, capsys) -> None:
    """Last.fm 1K: `user_000000` looks like the name of a column, and a row was lost."""
    rows = [f"user_{u[1:]}\t2009-05-0{r}T13:54:10Z\tid{i}\tArtist {i}" for u, i, r in CHOSEN]
    (tmp_path / "log.tsv").write_text("\n".join(rows))
    assert command(tmp_path / "log.tsv") == 2
    assert "its first line is no header" in capsys.readouterr().err
