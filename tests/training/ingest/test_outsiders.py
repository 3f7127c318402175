"""What an outsider's folder may hold beside tables, and ids that are not meant as they stand."""

import os
from pathlib import Path

import polars as pl
import pytest

from deploy.cli.app import main
from service.http.problems import MAX_ID_LENGTH
from training.ingest.rejects import MAX_ID

ROWS = [f"u{row % 6},p{7 * row % 11},2024-03-{1 + row % 28:02d}" for row in range(60)]


def table(folder: Path, rows: list[str] = ROWS, name: str = "events.csv") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(["user,item,date", *rows]) + "\n")


def imported_items(shop: Path, *options: str) -> list[str]:
    out = shop.parent / "out"
    assert main(["import", str(shop), "--out", str(out), *options]) == 0
    frame = pl.read_csv(next(out.glob("*.inter")), separator="\t", infer_schema=False)
    return sorted(frame["item_id"].unique())


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path, capsys) -> None:
    shop = tmp_path / "shop"
    table(shop)
    (shop / "events.csv").rename(os.fsdecode(os.fsencode(shop) + b"/ev\xff.csv"))
    for given in (shop, next(shop.iterdir())):
        assert main(["import", str(given), "--out", str(tmp_path / "out")]) == 1
        assert "has a name that is not UTF-8; rename it" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_what_is_no_file_is_not_passed_over_in_silence(tmp_path: Path, capsys) -> None:
    shop = tmp_path / "shop"
    table(shop)
    os.mkfifo(shop / "pipe.csv")
    (shop / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    imported_items(shop)
    said = capsys.readouterr().out
    assert "pipe.csv: no file" in said
    assert "gone.csv: no file, or a link to none" in said


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u2060", "\u00a0", "\u3000"])
def test_blanks_that_nobody_sees_make_no_other_item(tmp_path: Path, mark: str) -> None:
    rows = [
        f"u{row % 6},{('p1', mark + 'p1', 'p1' + mark, f'p{row}')[row % 4]},2024-03-01"
        for row in range(60)
    ]
    table(tmp_path / "shop", rows)
    found = imported_items(tmp_path / "shop", "--yes")
    assert [each for each in found if "p1" in each and len(each) != 3] == ["p1"]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("p\x003", "item id with a tab, a line break or the like"),
        ("p\x1b[31m3", "item id with a tab, a line break or the like"),
        ("x" * (MAX_ID + 1), "item id of over 256 characters"),
    ],
)
def test_an_id_that_cannot_be_asked_for_is_rejected(
    tmp_path: Path, item: str, reason: str, capsys
) -> None:
    assert MAX_ID == MAX_ID_LENGTH
    table(tmp_path / "shop", [*ROWS, f"u1,{item},2024-03-01", f"u1,{'y' * MAX_ID},2024-03-01"])
    found = imported_items(tmp_path / "shop")
    assert item not in found
    assert "y" * MAX_ID in found
    assert f"1 {reason}" in capsys.readouterr().out
