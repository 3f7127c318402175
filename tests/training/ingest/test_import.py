"""From messy files to a data folder: every row is kept, merged, left out or named with a reason."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.data.dataset import DataConfig, load_dataset
from training.data.interactions import read_interactions
from training.data.tables import DataError
from training.ingest.sources import Given

ORDERS = """\
\ufeffCustomer ID;Product;Stars;Reviewed at;Comment
c 1;p/1;4,5;2024-01-05T10:00:00Z;fine
c 1;p/2;5;05.01.2024;"two
lines; and a semicolon"
c2;p/1;3,0;1704448800;"says ""hi"" to me"
c2;p/1;4,0;1704448900000;later
c2;p/1;4,0;1704448900000;later
;p/1;4;2024-01-05;nobody
c3;NULL;4;2024-01-05;nothing
c3;p/2;great;2024-01-05;a word
c3;p/2;;2024-01-05;no rating
c3;p/2;4;someday;no moment
c3;p/2;4;13/01/2024;
 c3 ;pä/3;5;Jan 5, 2024;üñí
c4;p/2;1,000;2024-01-05;one or a thousand
c4;p/1;5
c4;"p/1;5;2024-01-05;never closed
c5;p/1;5;2024-01-06;good
c5;p/2;5;2024-01-06;"closed" too early
c5;"p\t2";5;2024-01-06;a tab
c5;pä/3;2;2024-01-06;last
c5;p/1;5;20"""
MESSY = {
    "user": "Customer ID",
    "item": "Product",
    "rating": "Stars",
    "timestamp": "Reviewed at",
    "dates": "day-first",
}


def test_a_messy_file(tmp_path: Path, imported, table) -> None:
    (tmp_path / "orders.csv").write_bytes(ORDERS.replace("\n", "\r\n").encode())
    summary = imported("orders.csv", **MESSY)
    assert table("rejects.csv") == [
        ("file", "line", "reason", "value"),
        ("orders.csv", "8", "no user id", ""),
        ("orders.csv", "9", "no item id", "NULL"),
        ("orders.csv", "10", "rating is not a number", "great"),
        ("orders.csv", "11", "no rating", ""),
        ("orders.csv", "12", "timestamp is no moment from 1970 to next year", "someday"),
        ("orders.csv", "15", "rating is not a number", "1,000"),
        ("orders.csv", "16", "wrong number of fields", "c4;p/1;5"),
        ("orders.csv", "17", "quotes that do not match", 'c4;"p/1;5;2024-01-05;never closed'),
        ("orders.csv", "19", "quotes that do not match", 'c5;p/2;5;2024-01-06;"closed" too early'),
        ("orders.csv", "20", "item id with a tab, a line break or the like", "p\t2"),
        ("orders.csv", "22", "wrong number of fields", "c5;p/1;5;20"),
    ]
    assert table("out.inter") == [
        ("user_id", "item_id", "rating", "timestamp"),
        ("c 1", "p/1", "4.5", "1704448800"),
        ("c 1", "p/2", "5", "1704412800"),
        ("c2", "p/1", "4", "1704448900"),
        ("c3", "p/2", "4", "1705104000"),
        ("c3", "pä/3", "5", "1704412800"),
        ("c5", "p/1", "5", "1704499200"),
        ("c5", "pä/3", "2", "1704499200"),
    ]
    rows = summary.interactions
    assert (rows.read, rows.kept, rows.merged, rows.rejected) == (20, 7, 2, 11)
    assert load_dataset(DataConfig(folder=tmp_path / "out")).train.nnz == 6


CELLS = st.one_of(
    st.sampled_from(["u1", "u2", "i1", " i2 ", "", "null", "3", "4,5", "1,000", "x", "2024-01-05"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    text=st.lists(st.lists(CELLS, min_size=1, max_size=5).map(",".join), max_size=12),
    repeats=st.sampled_from(["latest", "largest", "sum"]),
    least=st.integers(1, 3),
)
def test_no_row_is_lost_silently(
    text: list[str], repeats: str, least: int, tmp_path: Path, imported
) -> None:
    rows = ["user,item,rating,at", "u0,i0,5,7", "u0,i1,5,7", "u0,i2,5,7", *text]
    (tmp_path / "x.csv").write_text("\n".join(rows) + "\n", newline="")
    keys = {"rating": "rating", "timestamp": "at", "repeats": repeats, "min_per_user": least}
    found = imported("x.csv", **keys).interactions
    assert found.read == found.kept + found.merged + found.left_out + found.rejected
    written = read_interactions(tmp_path / "out" / "out.inter")
    assert len(written.user_N) == found.kept
    assert sum(reason.rows for reason in found.reasons.values()) == found.rejected
    if not any(character in "".join(text) for character in '"\r\n'):
        blank = sum(not row for row in text)
        assert found.read == len(rows) - 1 - blank


def test_too_many_bad_rows_leave_nothing(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,item,rating\nu,i,5\nu,j,4\nu,k,bad\n")
    with pytest.raises(DataError, match=r"1 of 3 rows .*1 x rating is not a number, as x.csv:4"):
        imported("x.csv", rating="rating", share=0.3)
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


REPEATED = "user,item,rating,at\nu,i,1,30\nu,i,5,10\nu,i,2,20\nv,i,4,5\n"


@pytest.mark.parametrize(("repeats", "value"), [("latest", "1"), ("largest", "5"), ("sum", "8")])
def test_repeats(repeats: str, value: str, tmp_path: Path, imported, table) -> None:
    (tmp_path / "x.csv").write_text(REPEATED)
    summary = imported("x.csv", rating="rating", timestamp="at", repeats=repeats)
    assert table("out.inter")[1:] == [("u", "i", value, "30"), ("v", "i", "4", "5")]
    assert summary.interactions.merged == 2


def test_without_time_the_last_row_is_the_latest(tmp_path: Path, imported, table) -> None:
    (tmp_path / "a.csv").write_text("user,item,rating\nu,i,1\nv,i,2\n")
    (tmp_path / "b.csv").write_text("user,item,rating\nu,i,3\n")
    imported("a.csv", "b.csv", files=["*.csv"], rating="rating")
    assert table("out.inter")[1:] == [("v", "i", "2"), ("u", "i", "3")]


def test_events_have_weights(tmp_path: Path, imported, table) -> None:
    events = ["u,i,view", "u,i,view", "u,j,view", "v,i,buy", "v,j,refund", "v,k,gift"]
    (tmp_path / "x.csv").write_text("\n".join(["user,item,event", *events, ""]))
    weights = {"view": 1, "buy": 5, "refund": -5}
    summary = imported("x.csv", event="event", weights=weights, min_rating=2)
    assert table("out.inter") == [
        ("user_id", "item_id", "rating", "value"),
        ("u", "i", "1", "2"),
        ("u", "j", "0", "1"),
        ("v", "i", "1", "5"),
        ("v", "j", "0", "-5"),
    ]
    assert table("rejects.csv")[1:] == [("x.csv", "7", "event without a weight", "gift")]
    assert summary.likes == 2
    dataset = load_dataset(DataConfig(folder=tmp_path / "out"))
    assert (dataset.train.nnz, dataset.seen.nnz) == (2, 4)


def test_the_k_core_is_what_remains_when_nobody_has_fewer(tmp_path: Path, imported, table) -> None:
    pairs = ["a x", "a y", "b x", "b y", "c x", "c z", "d z"]
    (tmp_path / "x.csv").write_text("user item\n" + "\n".join(pairs) + "\n")
    summary = imported("x.csv", separator=" ", min_per_user=2, min_per_item=2)
    assert table("out.inter")[1:] == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert summary.interactions.left_out == 3
    with pytest.raises(DataError, match="active user has 2 rows and the most chosen item 3"):
        imported("x.csv", separator=" ", min_per_user=3, min_per_item=3)


def test_labels_split(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,item,part\nu,i,0\nu,j,1\nu,k,2\nu,k,9\n")
    imported("x.csv", label="part")
    dataset = load_dataset(DataConfig(folder=tmp_path / "out"))
    assert (dataset.train.nnz, dataset.valid.nnz, dataset.test.nnz) == (1, 1, 1)


def test_items_words_and_categories(tmp_path: Path, imported, table) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,1\nu,2\nu,9\n")
    (tmp_path / "items.jsonl").write_text(
        '{"item":1, "name": "Tea\\n pot", "kinds": "Home & Garden;Tea", "a": "Pot.", "b": "N/A"}\n'
        '{"item": 2, "name": "null", "kinds": "", "a": "Wool", "b": "to\\tknit", "year": 1999.0}\n'
        '{"item": 2, "name": "again"}\n{"item": null}\n'
    )
    columns = {"title": "name", "year": "year", "categories": "kinds", "text": ["a", "b"]}
    summary = imported("x.csv", "items.jsonl", items=columns | {"categories_separator": ";"})
    assert table("items.tsv") == [
        ("item_id", "title", "year", "categories", "description"),
        ("1", "Tea pot", "", "Home & Garden|Tea|", "Pot."),
        ("2", "", "1999", "", "Wool to knit"),
    ]
    assert [row[1:] for row in table("rejects.csv")[1:]] == [
        ("3", "item came before", "2"),
        ("4", "no item id", ""),
    ]
    dataset = load_dataset(DataConfig(folder=tmp_path / "out"))
    assert dataset.item_metadata[0]["categories"] == ["Home & Garden", "Tea"]
    assert summary.catalogue is not None
    assert (summary.catalogue.unknown, summary.catalogue.never_chosen) == (1, 0)


def test_a_table_with_a_row_for_each_property_is_told_so(tmp_path: Path, imported) -> None:
    """Retailrocket's `item_properties.csv`."""
    (tmp_path / "x.csv").write_text("user,item\nu,1\nu,2\n")
    rows = "1,colour,red\n1,size,9\n2,colour,blue\n2,size,7\n"
    (tmp_path / "items.csv").write_text(f"item,property,value\n{rows}")
    with pytest.raises(DataError, match="one row, with a column for each property"):
        imported("x.csv", "items.csv", items={"attributes": ["property", "value"]}, share=0.1)


def test_a_folder_names_the_file_that_it_was_not_read_for(tmp_path: Path) -> None:
    """Yoochose's and MovieLens-1M's tables end in `.dat`, Amazon's in `.json`."""
    (tmp_path / "clicks.dat").write_text("1,2014-04-07T10:51:09.277Z,214536502,0\n")
    with pytest.raises(DataError, match=r"is read if it is named itself: .*clicks\.dat"):
        Given.of([tmp_path])


def test_further_columns_are_kept_as_attributes(tmp_path: Path, imported, table) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,1\nu,2\n")
    (tmp_path / "items.csv").write_text(
        'item,name,price,brand:of,id,year\n1,Tea,"12,5",A  B,x,1999\n2,Wool,3,n/a,y,\n'
    )
    kept = {"title": "name", "year": "year", "attributes": ["price", "brand:of", "id", "year"]}
    imported("x.csv", "items.csv", items=kept)
    assert table("items.tsv") == [
        ("item_id", "title", "year", "price", "brand_of", "id"),
        ("1", "Tea", "1999", "12.5", "A B", "x"),
        ("2", "Wool", "", "3", "", "y"),
    ]
    dataset = load_dataset(DataConfig(folder=tmp_path / "out"))
    assert dataset.item_metadata[0]["attributes"] == {"price": 12.5, "brand_of": "A B", "id": "x"}
    assert dataset.item_metadata[1]["attributes"] == {"price": 3.0, "id": "y"}


def test_an_item_table_with_other_ids(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,p1\nu,p2\n")
    (tmp_path / "items.csv").write_text("item,title\n1,A\n2,B\n")
    with pytest.raises(DataError, match=r"has none of the items in x\.csv: .*'p1', 'p2', here '1'"):
        imported("x.csv", "items.csv", items={"title": "title"})
    assert not (tmp_path / "out").exists()


def test_features_go_with_their_items(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,a\nu,b\n")
    (tmp_path / "items.csv").write_text("item,title\nb,B\n,nobody\na,A\n")
    np.save(tmp_path / "sound_feat.npy", np.arange(6, dtype=np.float32).reshape(3, 2) + 1)
    imported("x.csv", "items.csv", "sound_feat.npy", items={"title": "title"})
    features = load_dataset(DataConfig(folder=tmp_path / "out")).features["sound"]
    assert features.x_IF.tolist() == [[5.0, 6.0], [1.0, 2.0]]
    (tmp_path / "items.csv").write_text("item,title\nb,B\nbroken\na,A\n")
    with pytest.raises(DataError, match=r"items.csv:3: wrong number of fields: rows of sound_feat"):
        imported("x.csv", "items.csv", "sound_feat.npy", items={"title": "title"})
    (tmp_path / "items.csv").write_text("item,title\nb,B\n")
    with pytest.raises(DataError, match="has 3 rows, but the item table has 1"):
        imported("x.csv", "items.csv", "sound_feat.npy", items={"title": "title"})


def test_what_is_not_available(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,a\n")
    stock = {"a": "yes", "b": "No", "c": "0", "d": "12", "e": "", "f": "Sold out", "g/1": "FALSE"}
    lines = ["item,stock", *(f"{item},{said}" for item, said in stock.items())]
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    summary = imported("x.csv", "items.csv", items={"available": "stock"})
    written = (tmp_path / "out" / "unavailable.txt").read_text()
    assert written.splitlines() == ["b", "c", "f", "g/1"]
    assert summary.catalogue is not None
    assert summary.catalogue.unavailable == 4


@pytest.mark.parametrize("text", ["user,item\n", "user,item\nbroken\n"])
def test_nothing_to_use(text: str, tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=r"has no rows|1 of 1 rows cannot be used"):
        imported("x.csv")


def test_a_column_that_is_not_there(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,thing\nu,i\n")
    with pytest.raises(DataError, match=r"has no column 'item' .*\(found: user, thing\)"):
        imported("x.csv")
