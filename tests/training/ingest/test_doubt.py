"""Where a guess could be wrong, the command asks, or says what it leaves out and why."""

import csv
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from deploy.cli.app import main
from training.data.tables import DataError
from training.ingest.guess import propose
from training.ingest.sources import Given

Run = Callable[..., tuple[int, dict, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Imports `tmp_path/in`; returns status, summary and what was said to standard error."""

    def run(*options: str, **files: str) -> tuple[int, dict, str]:
        (tmp_path / "in").mkdir(exist_ok=True)
        for name, text in files.items():
            stem, _, suffix = name.rpartition("_")
            (tmp_path / "in" / f"{stem}.{suffix}").write_text(text)
        out = ["--out", str(tmp_path / "out"), "--json"]
        status = main(["import", str(tmp_path / "in"), *out, *options])
        said = capsys.readouterr()
        return status, json.loads(said.out) if status == 0 else {}, said.err

    return run


def mapping_of(folder: Path) -> dict:
    return tomllib.loads((folder / "out" / "mapping.toml").read_text())


@pytest.mark.parametrize(
    "people",
    [
        "client_id,label\nk1,Ann\nk2,Bob\nk3,Cid\n",
        "id,name,email\nk1,Ann,a@x\nk2,Bob,b@x\nk3,Cid,c@x\n",
    ],
)
def test_users_never_become_items(people: str, tmp_path: Path, run: Run) -> None:
    sales = "client_id,sku\nk1,s1\nk1,s2\nk2,s1\nk3,s1\nk3,s2\n"
    status, summary, _ = run(sales_csv=sales, people_csv=people)
    assert status == 0
    assert mapping_of(tmp_path)["interactions"]["item"] == "sku"
    assert summary["not_used"] == ["people.csv: it is about users, of whom only ids are used"]
    assert not (tmp_path / "out" / "items.tsv").exists()


def test_what_users_are_called_is_not_said_of_items(tmp_path: Path, run: Run) -> None:
    rows = "".join(f"k{n % 3},Name {n % 3},s{n % 4},Tea {n % 4}\n" for n in range(12)) * 2
    status, _, _ = run(sales_csv=f"client_id,nickname,sku,product_name\n{rows}")
    assert status == 0
    assert "Name" not in (tmp_path / "out" / "items.tsv").read_text()


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [
        (["2.0 out of 5 stars", "5.0 out of 5 stars", "3.0 out of 5 stars"], [2, 5, 3]),
        (["7/10", "2/10", "9/10"], [7, 2, 9]),
        (["40%", "95%", "70%"], [40, 95, 70]),
        (["1,200,000", "3,000", "20"], [1_200_000, 3000, 20]),
    ],
)
def test_ratings_as_people_write_them(ratings: list[str], expected: list[float], run: Run) -> None:
    rows = "".join(f'u{n},i{n},"{rating}"\n' for n, rating in enumerate(ratings))
    status, summary, _ = run(x_csv=f"user,item,rating\n{rows}")
    assert status == 0
    assert [row["value"] for row in summary["first"]] == expected


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("rating", ["poor", "fine", "4"], "as rating, only 33% can be read, not 'poor', 'fine'"),
        ("rating", ["3/5", "8/10", "7/10"], "as rating, only 0% can be read"),
        ("date", ["spring", "autumn", "2024-01-02"], "as timestamp, only 33% can be read"),
        ("date", ["2731-05-06", "2731-05-07", "1899-12-30"], "not '2731-05-06'"),
    ],
)
def test_a_column_that_looks_meant_is_not_left_out_in_silence(
    column: str, values: list[str], said: str, tmp_path: Path, run: Run
) -> None:
    rows = "".join(f"u{n},i{n},{value}\n" for n, value in enumerate(values))
    status, _, error = run(x_csv=f"user,item,{column}\n{rows}")
    assert status == 2
    assert said in error
    assert f'    unused = ["{column}"]' in error
    assert not (tmp_path / "out").exists()
    status, summary, error = run("--yes")
    assert status == 0
    assert f'taken because of --yes: [interactions] unused = ["{column}"]' in error
    assert summary["not_used"] == [f"columns of x.csv: {column}"]
    assert mapping_of(tmp_path)["interactions"]["unused"] == [column]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('user,item,count\nu,i,"2,500"\nu,j,"1,750"\n', 'thousands = ","'),
        ("user,item,date\nu,i,03.02.24\nu,j,04.02.23\n", 'dates = "day-first"'),
        ("user,item,date\nu,i,45296.5\nu,j,45297.5\n", 'timestamp_format = "spreadsheet"'),
        ("user,item,event,eventtype\nu,i,buy,a\n", 'event = "event"'),
        ("user,item,stars,rating\nu,i,4,5\n", 'rating = "stars"'),
    ],
)
def test_two_readings_are_a_question(text: str, line: str, tmp_path: Path, run: Run) -> None:
    status, _, error = run(x_csv=text)
    assert status == 2
    assert f"    {line}\n" in error
    status, _, error = run("--yes")
    assert status == 0
    assert line in error
    assert line in (tmp_path / "out" / "mapping.toml").read_text()


def test_two_titles_are_a_question(run: Run) -> None:
    items = "item,name,headline\ni,Tea,Buy now\nj,Cup,Good\n"
    status, _, error = run(x_csv="user,item\nu,i\nu,j\n", items_csv=items)
    assert status == 2
    assert 'title = "name"' in error


def test_events_that_take_a_like_back(tmp_path: Path, run: Run) -> None:
    events = ["order", "orderCanceled", "RETURNED", "removed_from_basket", "download", "impression"]
    rows = "".join(f"u{n},i,{event}\n" for n, event in enumerate(events))
    status, summary, _ = run(x_csv=f"user,item,event\n{rows}")
    assert status == 0
    assert summary["weights"] == {
        "order": 1.0,
        "orderCanceled": -5.0,
        "RETURNED": -5.0,
        "removed_from_basket": -1.0,
        "download": 1.0,
        "impression": 0.0,
    }
    assert summary["likes"] == 2


def test_a_status_says_what_became_of_an_order(tmp_path: Path, run: Run) -> None:
    rows = "".join(f"u{n},i,2,{x}\n" for n, x in enumerate(["paid", "paid", "refunded"]))
    status, summary, _ = run(x_csv=f"user,item,quantity,financial_status\n{rows}")
    assert status == 0
    assert summary["likes"] == 2
    assert summary["not_used"][0].startswith("column 'quantity' of x.csv: financial_status says")
    status, _, error = run("--force", x_csv=f"user,item,quantity,status\n{rows}u9,i,1,\n")
    assert status == 2
    assert "what became of only 75% of the rows" in error


def test_nothing_but_refunds(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user,item,event\nu,i,refund\nv,j,cancel\n")
    with pytest.raises(DataError, match="no event in it is a like: cancel, refund"):
        propose(Given.of([tmp_path / "x.csv"]), "utf-8")


def test_ratings_of_which_none_is_above_zero(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,item,rating\nu,i,0\nv,j,-1\n")
    with pytest.raises(DataError, match="has no rating above 0"):
        imported("x.csv", rating="rating")


def test_files_that_are_passed_over_are_named(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in" / "more").mkdir(parents=True)
    (tmp_path / "in" / "more" / "y.csv").write_text("user,item\nu,i\n")
    (tmp_path / "in" / "wares.ods").write_bytes(b"PK")
    (tmp_path / "in" / "notes.txt").write_text("hello")
    status, summary, _ = run(x_csv="user,item,memo\nu,i,x\n")
    assert status == 0
    assert summary["not_used"] == [
        "notes.txt: not read from a folder; if it is a table, give it by name",
        "wares.ods: a spreadsheet is not read; save each sheet as .csv",
        "more: a folder in a folder is not read; give it too",
        "columns of x.csv: memo",
    ]


def test_columns_without_a_name(tmp_path: Path, run: Run) -> None:
    status, summary, _ = run(x_csv=",user,item,,\n0,u,i,,\n1,v,j,,\n")
    assert status == 0
    assert summary["not_used"] == []
    assert [row["item"] for row in summary["first"]] == ["i", "j"]


def test_other_names_for_a_header(tmp_path: Path, run: Run) -> None:
    (tmp_path / "x.csv").write_text("who,what,what\nu,i,5\nv,i,4\n")
    with pytest.raises(DataError, match=r"columns = .* and header = true"):
        propose(Given.of([tmp_path / "x.csv"]), "utf-8")
    text = '[interactions]\nfiles = ["x.csv"]\ncolumns = ["{}", "item", "rating"]\n{}\n'
    text += 'user = "{}"\nitem = "item"\n'
    for name, said in (("user", "header = true"), ("who", "")):
        (tmp_path / "my.toml").write_text(text.format(name, said, name))
        out = ["--out", str(tmp_path / f"out {name}"), "--mapping", str(tmp_path / "my.toml")]
        assert main(["import", str(tmp_path / "x.csv"), *out]) == 0
        rows = (tmp_path / f"out {name}" / f"out {name}.inter").read_text().splitlines()
        assert rows == ["user_id\titem_id", "u\ti", "v\ti"]


def test_the_separator_that_a_spreadsheet_names(tmp_path: Path, run: Run) -> None:
    status, summary, _ = run(x_csv="sep=|\r\nuser|item|rating\r\nu|i;a|4\r\n")
    assert status == 0
    assert summary["first"] == [{"user": "u", "item": "i;a", "value": 4.0, "time": None}]


def test_json_in_one_list(tmp_path: Path, run: Run) -> None:
    rows = [{"user": f"u{n}", "item": "i", "tags": ["a"]} for n in range(3)]
    for name, text in (("one", json.dumps(rows)), ("many", json.dumps(rows, indent=2))):
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        out = tmp_path / f"out-{name}"
        assert main(["import", str(path), "--out", str(out)]) == 0
        assert (out / f"out-{name}.inter").read_text().splitlines()[1:] == [
            "u0\ti",
            "u1\ti",
            "u2\ti",
        ]
        assert path.read_text() == text


def test_double_colons_and_numbers_without_a_header(tmp_path: Path, run: Run) -> None:
    rows = [(n % 7, n % 5 + 100, n % 4 + 1, 1_600_000_000 + n) for n in range(40)]
    for mark, name in (("::", "ratings.dat"), ("\t", "r.data")):
        path = tmp_path / name
        path.write_text("".join(mark.join(map(str, row)) + "\n" for row in rows))
        proposal = propose(Given.of([path]), "utf-8")
        assert [x.lines for x in proposal.questions] == [
            ['columns = ["user", "item", "rating", "timestamp"]']
        ]
        out = tmp_path / f"out{name}"
        assert main(["import", str(path), "--out", str(out), "--yes"]) == 0
        assert json.loads((out / "import.json").read_text())["interactions"]["read"] == 40


def test_markup_and_lists_in_an_item_table(tmp_path: Path, run: Run) -> None:
    items = [
        {"item": "i", "title": "A&amp;B", "body_html": "<p class='x'>Soft<br>wool</p><!-- x -->"},
        {"item": "j", "title": "1 < 2", "body_html": "&lt;p&gt;Warm&lt;/p&gt;<script>f()</script>"},
    ]
    kinds = ['["Wool", "Warm"]', "[{'id': 3, 'name': 'Soft'}]"]
    path = tmp_path / "in"
    path.mkdir()
    with (path / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*items[0], "category"])
        writer.writerows([*x.values(), kind] for x, kind in zip(items, kinds, strict=True))
    status, _, _ = run(x_csv="user,item\nu,i\nu,j\n")
    assert status == 0
    assert (tmp_path / "out" / "items.tsv").read_text().splitlines() == [
        "item_id\ttitle\tcategories\tdescription",
        "i\tA&B\tWool|Warm|\tSoft wool",
        "j\t1 < 2\tSoft|\tWarm",
    ]


def test_ids_that_a_program_stored_as_numbers(tmp_path: Path, run: Run) -> None:
    status, summary, _ = run(x_csv="user,item\n7.0,31.0\n8,31\n9,1.5E+11\n" + "9,32\n" * 20)
    assert status == 0
    assert summary["items"] == 2
    assert summary["whole_ids"] == {"user": 1, "item": 1}
    assert "item id shortened by a spreadsheet" in summary["interactions"]["reasons"]


def test_ids_that_look_the_same_are_told_and_can_be_made_one(tmp_path: Path, run: Run) -> None:
    composed, apart = "café", "cafe\u0301"
    rows = f"{composed},i1\n{apart},i2\nzoë,{apart}\nzoë,i1\nx,i1\n"
    files = {
        "x_csv": f"user,item\n{rows}",
        "items_csv": f"item,title\ni1,Tea\ni2,Milk\n{composed},Coffee\n",
    }
    status, summary, _ = run(**files)
    assert (status, summary["users"], summary["items"]) == (0, 4, 3)
    assert summary["respelled"] == {"user": [composed], "item": [composed]}
    assert summary["catalogue"]["unknown"] == 1
    mapping = tmp_path / "one.toml"
    kept = (tmp_path / "out" / "mapping.toml").read_text()
    mapping.write_text(f"normalise_ids = true\n{kept}")
    status, summary, _ = run("--mapping", str(mapping), "--force")
    assert (status, summary["users"], summary["respelled"]) == (0, 3, {})
    assert summary["catalogue"]["unknown"] == 0
    written = (tmp_path / "out" / "out.inter").read_text()
    assert composed in written
    assert apart not in written


def test_only_columns_in_use_must_be_readable(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    pl.DataFrame(
        {
            "user": ["u", "v", "w"],
            "product": [{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "b", "n": 2}],
            "vector": [[0.5, 1.0], [0.1, 0.2], [0.3, 0.4]],
        },
        schema_overrides={"vector": pl.Array(pl.Float32, 2)},
    ).write_parquet(tmp_path / "in" / "x.parquet")
    status, summary, _ = run()
    assert status == 0
    assert [row["item"] for row in summary["first"]] == ["a", "b", "b"]
    assert any("'vector'" in line for line in summary["not_used"])


def test_an_object_that_may_be_one_id_is_asked_about(tmp_path: Path, run: Run) -> None:
    orders = [{"user": f"u{n % 3}", "product": {"id": n % 2, "size": n % 3}} for n in range(12)]
    status, _, said = run(x_jsonl="\n".join(map(json.dumps, orders)))
    assert status == 2
    assert 'item = "product.id"\n    item = "product.size"' in said
    for order in orders:
        order["product"]["size"] = order["product"]["id"] + 5
    status, _, _ = run(x_jsonl="\n".join(map(json.dumps, orders)))
    assert status == 0
    assert mapping_of(tmp_path)["interactions"]["item"] == "product.id"


def test_a_column_of_an_unknown_name_that_takes_likes_back(tmp_path: Path, run: Run) -> None:
    rows = "".join(f"u{n},i{n % 3},{('buy', 'refund')[n % 5 == 0]}\n" for n in range(20))
    status, _, said = run(x_csv=f"user,item,what\n{rows}")
    assert status == 2
    assert "whether what says what happened, as 'refund' would" in said
    assert 'event = "what"' in said
    assert "refund = -5.0" in said


@pytest.mark.parametrize("values", ["1 2 3 4 5", "0.5 1.5 2 3.5 4", "1,5 2,0 4,5 3,0 1,0"])
def test_numbers_of_an_unknown_name_may_be_ratings(values: str, run: Run) -> None:
    numbers = values.split()
    rows = "".join(f"u{n};i{n % 3};{numbers[n % 5]}\n" for n in range(20))
    status, _, said = run(x_csv=f"user;item;xyz\n{rows}")
    assert status == 2
    assert 'write rating = "xyz"' in said
    assert 'unused = ["xyz"]' in said


def test_numbers_that_are_about_items_are_no_ratings(tmp_path: Path, run: Run) -> None:
    rows = "".join(f"u{n},i{n % 7},{n % 7 // 2}\n" for n in range(28))
    status, summary, _ = run(x_csv=f"user,item,shelf\n{rows}")
    assert status == 0
    assert "columns of x.csv: shelf" in summary["not_used"]


def test_what_items_are_called_is_found_by_content(tmp_path: Path, run: Run) -> None:
    sales = "".join(f"u{n},i{n % 6}\n" for n in range(12))
    goods = "".join(f"i{n},Green tea {n},S-{n},red\n" for n in range(6))
    status, _, _ = run(sales_csv=f"user,item\n{sales}", goods_csv=f"item,wording,part,hue\n{goods}")
    assert status == 0
    assert mapping_of(tmp_path)["items"]["title"] == "wording"


def test_the_date_of_something_else_is_not_when_users_chose(tmp_path: Path, run: Run) -> None:
    rows = "".join(f"u{n},i{n % 3},2024-03-{n + 1:02d}\n" for n in range(20))
    status, summary, _ = run(x_csv=f"user,item,delivery date\n{rows}")
    assert status == 0
    (note,) = [line for line in summary["not_used"] if "delivery" in line and "write" in line]
    assert 'write timestamp = "delivery date"' in note
    assert "timestamp" not in mapping_of(tmp_path)["interactions"]


@pytest.mark.parametrize(
    "baskets", [[["a", "b"]], ["a|b", "a|b|c", "b|c"], ["a; b", "a; b; c", "c"]]
)
def test_several_items_in_a_cell_are_refused(baskets: list, run: Run) -> None:
    rows = [{"user": f"u{n}", "item": baskets[n % len(baskets)]} for n in range(9)]
    status, _, said = run(x_jsonl="\n".join(map(json.dumps, rows)))
    assert status == 1
    assert "column 'item': holds several ids in one cell; write one row for each of them" in said


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("customer_name", "Numéro client", 0),  # names are the last resort
        ("buyer", "ID do cliente", 2),
    ],
)
def test_names_of_people_are_no_ids_where_there_are_some(
    first: str, second: str, status: int, tmp_path: Path, run: Run
) -> None:
    rows = "".join(f"Ann {n % 4},c{n % 7},i{n % 3}\n" for n in range(20))
    assert run(x_csv=f"{first},{second},item\n{rows}")[0] == status
    if status == 0:
        assert mapping_of(tmp_path)["interactions"]["user"] == second
