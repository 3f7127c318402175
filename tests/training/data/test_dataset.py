import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from training.data import interactions, mapped
from training.data.dataset import DataConfig, load_dataset
from training.data.items import shown
from training.data.tables import DataError

HEADER = "userID\titemID\trating\ttimestamp\n"
Folder = Callable[..., Path]


@pytest.fixture(autouse=True, params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test a second time as if data were large: read line by line, and kept in files."""
    if request.param == "large":
        monkeypatch.setattr(interactions, "BLOCK_BYTES", 1)
        monkeypatch.setattr(mapped, "MAPPED_BYTES", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write files given as `name=text`, with `__` for the dot of the name."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        return tmp_path

    return write


def rows(matrix, dataset) -> set[tuple[str, str]]:
    return {
        (dataset.user_ids[u], dataset.item_ids[i])
        for u, i in zip(*(axis.tolist() for axis in matrix.nonzero()), strict=True)
    }


def test_ids_are_sorted_by_their_bytes_and_index_every_matrix(folder: Folder):
    path = folder(x__inter="user\titem\nb\t10\n\u00e9\t9\na\t10\n")
    dataset = load_dataset(DataConfig(folder=path))
    assert dataset.user_ids == ["a", "b", "\u00e9"]
    assert dataset.item_ids == ["10", "9"]
    assert rows(dataset.seen, dataset) == {("a", "10"), ("b", "10"), ("\u00e9", "9")}
    assert dataset.train.dtype == np.float32
    assert dataset.split == "random"


def test_automatic_threshold_is_four_of_five_stars_and_seen_keeps_the_rest(folder: Folder):
    path = folder(x__inter=HEADER + "u\ta\t5\t1\nu\tb\t4\t2\nu\tc\t3.5\t3\n")
    dataset = load_dataset(DataConfig(folder=path))
    assert rows(dataset.train, dataset) == {("u", "a"), ("u", "b")}
    assert rows(dataset.seen, dataset) == {("u", "a"), ("u", "b"), ("u", "c")}


def test_a_slip_does_not_become_the_top_of_the_scale(folder: Folder):
    rows = "".join(f"u{n}\ta\t{n % 5 + 1}\t1\n" for n in range(150))
    path = folder(x__inter=HEADER + rows + "v\ta\t55\t1\n")
    assert load_dataset(DataConfig(folder=path)).train.nnz > 40


def test_min_rating_overrides_the_automatic_threshold(folder: Folder):
    path = folder(x__inter=HEADER + "u\ta\t5\t1\nu\tb\t2\t2\n")
    dataset = load_dataset(DataConfig(folder=path, min_rating=2))
    assert dataset.train.nnz == 2


def test_labels_decide_the_split_when_present(folder: Folder):
    path = folder(x__inter="userID\titemID\tx_label\nu\ta\t0\nu\tb\t1\nu\tc\t2\n")
    dataset = load_dataset(DataConfig(folder=path))
    assert dataset.split == "label"
    assert rows(dataset.train, dataset) == {("u", "a")}
    assert rows(dataset.valid, dataset) == {("u", "b")}
    assert rows(dataset.test, dataset) == {("u", "c")}


@pytest.mark.parametrize("order", [["0", "2"], ["2", "0"]])
def test_a_pair_that_trains_and_tests_only_trains(folder: Folder, order: list[str]):
    lines = "".join(f"u\ta\t{label}\n" for label in order)
    dataset = load_dataset(DataConfig(folder=folder(x__inter="user\titem\tx_label\n" + lines)))
    assert (dataset.train.nnz, dataset.test.nnz) == (1, 0)


def test_of_a_repeated_pair_the_earliest_counts(folder: Folder):
    path = folder(x__inter=HEADER + "u\ta\t5\t9\nu\tb\t5\t2\nu\tc\t5\t3\nu\ta\t5\t1\n")
    dataset = load_dataset(DataConfig(folder=path))
    assert rows(dataset.train, dataset) == {("u", "a")}
    assert rows(dataset.valid, dataset) == {("u", "b")}
    assert rows(dataset.test, dataset) == {("u", "c")}
    assert dataset.train.data.tolist() == [1.0]


def test_one_cut_for_all_is_available(folder: Folder):
    lines = "".join(f"u{n % 2}\ti{n}\t5\t{n}\n" for n in range(10))
    dataset = load_dataset(DataConfig(folder=folder(x__inter=HEADER + lines), split="global-time"))
    assert rows(dataset.valid, dataset) == {("u0", "i8")}
    assert rows(dataset.test, dataset) == {("u1", "i9")}


def test_recbole_files_with_typed_headers(folder: Folder):
    path = folder(
        ml__inter="user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t5\t1\n",
        ml__item="item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "2\tKolya\t1996\tComedy Drama\n7\tOther\tunknown\t\n",
    )
    dataset = load_dataset(DataConfig(folder=path))
    assert dataset.item_ids == ["2", "7"]
    assert dataset.item_metadata == [
        {"title": "Kolya", "year": 1996, "categories": ["Comedy", "Drama"]},
        {"title": "Other"},
    ]


def test_other_columns_are_attributes_of_the_kind_of_all_their_values(folder: Folder):
    path = folder(
        x__inter="user\titem\nu\ta\n",
        items__tsv="item\ttitle\tgenres\timage\tdirector\tprice\tsale\tcode\tsize\toverview\n"
        "a\tA film\tSci-Fi|Film noir\thttps://pictures.example/a.jpg\tSomebody\t9.5\ttrue\t007"
        "\t3\tLong ago.\n"
        f"b\t\t\t\t{'x' * 300}\t-12\tFalse\t70\tlarge\t\n"
        "c\t\t\t\t\t\t\t\t\t\n",
    )
    metadata = load_dataset(DataConfig(folder=path)).item_metadata
    assert metadata == [
        {
            "title": "A film",
            "categories": ["Sci-Fi", "Film noir"],
            "picture_url": "https://pictures.example/a.jpg",
            "overview": "Long ago.",
            "attributes": {
                "director": "Somebody",
                "price": 9.5,
                "sale": True,
                "code": "007",
                "size": "3",
            },
        },
        {"attributes": {"price": -12, "sale": False, "code": "70", "size": "large"}},
        {},
    ]
    kept = shown(metadata[0])
    assert kept.pop("description") == "Long ago."
    assert kept == {name: value for name, value in metadata[0].items() if name != "overview"}
    assert shown(metadata[2]) == {}


def test_equal_input_has_equal_digest_and_any_change_another(folder: Folder):
    text = HEADER + "".join(f"u\ti{n}\t5\t{n}\n" for n in range(5))
    path = folder(x__inter=text)
    first = load_dataset(DataConfig(folder=path)).sha256
    assert load_dataset(DataConfig(folder=path)).sha256 == first
    assert load_dataset(DataConfig(folder=path, split="random", seed=1)).sha256 != first
    folder(x__inter=text + "u\ti9\t1\t9\n")
    assert load_dataset(DataConfig(folder=path)).sha256 != first


def test_metadata_are_as_old_as_the_item_table(folder: Folder):
    path = folder(x__inter="user\titem\na\t1\n", items__tsv="item_id\ttitle\n1\tOne\n")
    os.utime(path / "items.tsv", (1_000_000_000, 1_000_000_000))
    dataset = load_dataset(DataConfig(folder=path))
    assert dataset.items_until == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    (path / "items.tsv").unlink()
    untitled = load_dataset(DataConfig(folder=path))
    assert untitled.items_until == datetime(1970, 1, 1, tzinfo=UTC)


def test_summary_counts_what_was_read(folder: Folder):
    path = folder(x__inter=HEADER + "".join(f"u\t{n}\t5\t{n}\n" for n in range(3)))
    np.save(path / "audio_feat.npy", np.array([[1, 2], [0, 0], [3, 4]], dtype=np.float16))
    assert load_dataset(DataConfig(folder=path)).summary == (
        "x: 1 users, 3 items, 1 / 1 / 1 positives (train / validation / test, split by time); "
        "audio 67% of items, 2 wide"
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", None, None, "is empty"),
        (HEADER, None, None, "has a header but no interactions"),
        ("uid\titemID\n1\t2\n", 1, None, "no user id column (found: uid, itemID)"),
        ("userID\tsku\n1\t2\n", 1, None, "no item id column (found: userID, sku)"),
        ("userID,itemID\n1,2\n", 1, None, "columns are separated by tabs"),
        ("userID\tuserID\titemID\n1\t1\t2\n", 1, None, "'userID' more than once"),
        (HEADER + "1\t2\t5\t1\n1\t3\tgood\t1\n", 3, "rating", "expected a number, found 'good'"),
        (HEADER + "1\t2\tnan\t1\n", 2, "rating", "expected a number, found 'nan'"),
        (HEADER + "1\t2\t5\t2001-01-01\n", 2, "timestamp", "expected a number"),
        (HEADER + "1\t2\t5\t1\n\t3\t5\t1\n", 3, "userID", "expected an id, found ''"),
        (HEADER + "1\t  \t5\t1\n", 2, "itemID", "expected an id, found '  '"),
        (HEADER + "1\t2\t5\n", 2, None, "has 3 tab-separated fields where the header has 4"),
        (HEADER + "1\t2\t5\t1\n\n1\t2\t5\t1\n", 3, None, "has 1 tab-separated fields"),
        ("user\titem\tx_label\n1\t2\t0\n1\t3\t7\n", 3, "x_label", "0 (training), 1 (validation)"),
        ("user\titem\tx_label\n1\t2\t0.5\n", 2, "x_label", "found '0.5'"),
    ],
)
def test_faults_of_the_interactions_are_named_by_place(
    folder: Folder, text: str, line: int | None, column: str | None, message: str
):
    path = folder(x__inter=text)
    with pytest.raises(DataError) as caught:
        load_dataset(DataConfig(folder=path))
    assert message in str(caught.value)
    assert "x.inter" in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_another_encoding_is_named_by_line(tmp_path: Path):
    (tmp_path / "x.inter").write_bytes("user\titem\nu\ta\nv\tcaf\u00e9\n".encode("latin1"))
    with pytest.raises(DataError, match=r"x\.inter:3: is not UTF-8 \(byte 0xe9\); convert it"):
        load_dataset(DataConfig(folder=tmp_path))


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path):
    (tmp_path / "x.inter").write_bytes(b"\xef\xbb\xbfuser\titem\r\nu\ta\r\n\r\n")
    assert load_dataset(DataConfig(folder=tmp_path)).item_ids == ["a"]


def test_quotes_are_ordinary_characters(folder: Folder):
    path = folder(x__inter='user\titem\n"u\ta\n')
    assert load_dataset(DataConfig(folder=path)).user_ids == ['"u']


def test_missing_folder(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere: is not a folder; give the folder"):
        load_dataset(DataConfig(folder=tmp_path / "nowhere"))


def test_no_interactions_file(tmp_path: Path):
    with pytest.raises(DataError, match=r"exactly one \.inter file, found none"):
        load_dataset(DataConfig(folder=tmp_path))


def test_several_interaction_files(folder: Folder):
    path = folder(a__inter="user\titem\nu\ta\n", b__inter="user\titem\nu\ta\n")
    with pytest.raises(DataError, match=r"found a\.inter, b\.inter"):
        load_dataset(DataConfig(folder=path))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"split": "label"}, "has no 'x_label' column, which a split by label needs"),
        ({"split": "time"}, "has no 'timestamp' column, which a split by time needs"),
        ({"min_rating": 4}, "has no 'rating' column, which min_rating needs"),
        ({"modalities": ["smell"]}, "nothing to make the modality 'smell' of; it can come from"),
        ({"modalities": ["text"]}, "nothing to make the modality 'text' of"),
    ],
)
def test_a_wish_that_the_columns_cannot_meet(
    folder: Folder, config: dict[str, object], message: str
):
    path = folder(x__inter="user\titem\nu\ta\n")
    with pytest.raises(DataError, match=message):
        load_dataset(DataConfig(folder=path, **config))


def test_a_threshold_that_nothing_reaches(folder: Folder):
    path = folder(x__inter=HEADER + "u\ta\t3\t1\n")
    with pytest.raises(DataError, match="no rating reaches 4, the largest is 3; choose a smaller"):
        load_dataset(DataConfig(folder=path, min_rating=4))


@pytest.mark.parametrize("ratings", [(0, 0), (-1, -1), (0, -5)])
def test_ratings_of_which_none_is_a_like(folder: Folder, ratings: tuple[int, int]):
    first, second = ratings
    path = folder(x__inter=HEADER + f"u\ta\t{first}\t1\nv\ta\t{second}\t1\n")
    with pytest.raises(DataError, match=f"no rating shows a like: the largest is {max(ratings)}"):
        load_dataset(DataConfig(folder=path))


def test_an_item_described_twice(folder: Folder):
    path = folder(x__inter="user\titem\nu\ta\n", items__tsv="item\ttitle\na\tA\nb\tB\na\tC\n")
    with pytest.raises(DataError, match=r"items\.tsv:4: column 'item': item 'a' is already on li"):
        load_dataset(DataConfig(folder=path))


def test_two_item_tables(folder: Folder):
    path = folder(x__inter="user\titem\nu\ta\n", items__tsv="item\na\n", x__item="item\na\n")
    with pytest.raises(DataError, match=r"several item tables \(items\.tsv, x\.item\)"):
        load_dataset(DataConfig(folder=path))


def test_merged_parts_train_in_the_order_of_time(folder: Folder):
    lines = [f"u\t{item}\t5\t{9 - at}\n" for at, item in enumerate("abcdefgh")]
    lines += ["v\ta\t5\t1\n", "w\tb\t5\t2\n", "w\tc\t1\t3\n"]
    dataset = load_dataset(DataConfig(folder=folder(x__inter=HEADER + "".join(lines))))
    both, valid = dataset.merged("valid", "test"), dataset.merged("valid")
    assert rows(valid.train, dataset) == rows(dataset.train + dataset.valid, dataset)
    assert rows(valid.test, dataset) == rows(dataset.test, dataset) == {("u", "a")}
    assert (valid.valid.nnz, both.valid.nnz, both.test.nnz) == (0, 0, 0)
    assert both.train.nnz == 10
    assert both.train_histories.item_P.tolist() == dataset.histories.item_P.tolist()
    names = [dataset.item_ids[item] for item in valid.train_histories.item_P]
    assert "".join(names) == "hgfedcb" + "a" + "b"
    digests = {x.sha256 for x in (dataset, valid, both, dataset.merged("test"))}
    assert len(digests) == 4
    assert dataset.merged("test", "valid").sha256 == both.sha256


def test_markup_in_a_table_that_was_written_by_hand(folder: Folder):
    items = "item\ttitle\tdescription\na\tTea &amp; milk\t<p>Green<br>leaves</p>\nb\tA < B\t\n"
    path = folder(x__inter="user\titem\nu\ta\nu\tb\n", items__tsv=items)
    first, second = load_dataset(DataConfig(folder=path)).item_metadata
    assert (first["title"], first["description"].split()) == ("Tea & milk", ["Green", "leaves"])
    assert second["title"] == "A < B"
