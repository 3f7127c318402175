"""Items, categories and users to look up."""

import pytest


def test_items_by_a_part_of_the_title_in_any_case_most_popular_first(disk_client) -> None:
    found = disk_client.get("/v1/items", params={"title": "tITLE 1"}).json()["items"]
    assert {item["item_id"] for item in found} == {"i001", *(f"i0{i}" for i in range(10, 20))}
    popularity = [item["popularity"] for item in found]
    assert popularity == sorted(popularity, reverse=True)
    assert all(item["available"] for item in found)


def test_items_by_category_in_pages(disk_client) -> None:
    def ids(**params: object) -> list[str]:
        answer = disk_client.get("/v1/items", params={"category": "odd"} | params)
        return [item["item_id"] for item in answer.json()["items"]]

    everything = ids(limit=100)
    assert len(everything) == 39  # every second item; one has no metadata
    assert ids(limit=5) + ids(limit=34, offset=5) == everything
    assert ids(offset=10**30) == ids(offset=10**30, title="title") == []
    both = ids(title="title 2", limit=100)
    assert both == [item for item in everything if item in both]
    assert set(both) == {f"i0{i}" for i in (21, 23, 25, 27, 29)}


def test_items_by_id_keep_their_order_and_unknown_ones_are_named(disk_client) -> None:
    answer = disk_client.post("/v1/items:lookup", json={"item_ids": ["i007", "i002", "no"]}).json()
    assert [item["item_id"] for item in answer["items"]] == ["i007", "i002"]
    assert answer["missing_ids"] == ["no"]
    nothing_known, known = answer["items"]
    assert (nothing_known["title"], nothing_known["categories"]) == (None, [])
    assert (known["title"], known["categories"], known["picture_url"]) == (
        "Title 2",
        ["even"],
        None,
    )


def test_a_hidden_item_is_found_and_flagged(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    with serving(following()) as client:
        until(client.ready)
        client.put("/v1/items/i002/availability", json={"available": False})
        items = client.post("/v1/items:lookup", json={"item_ids": ["i001", "i002"]}).json()["items"]
    assert [item["available"] for item in items] == [True, False]


def test_a_year_is_a_whole_number_or_none(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    given = {"i001": 1995, "i002": "in the nineties", "i003": None}
    with serving(following()) as client:
        until(client.ready)
        for item_id, year in given.items():
            answer = client.patch(f"/v1/items/{item_id}", json={"attributes": {"year": year}})
            assert answer.is_success

        def years() -> list[int | None]:
            asked = {"item_ids": [*given]}
            found = client.post("/v1/items:lookup", json=asked).json()["items"]
            return [item["year"] for item in found]

        until(lambda: years() == [1995, None, None])


def test_categories_largest_first(disk_client) -> None:
    answer = disk_client.get("/v1/categories").json()
    assert answer["categories"] == [{"name": "even", "items": 40}, {"name": "odd", "items": 39}]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("u00", [f"u00{i}" for i in range(10)]), ("u029", ["u029"]), ("u03", []), ("v", [])],
)
def test_users_by_the_beginning_of_their_ids(disk_client, prefix: str, expected: list[str]) -> None:
    assert disk_client.get("/v1/users", params={"prefix": prefix}).json()["user_ids"] == expected


def test_users_are_bounded(disk_client) -> None:
    found = disk_client.get("/v1/users", params={"limit": 3}).json()["user_ids"]
    assert found == ["u000", "u001", "u002"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/items?limit=0", "limit"),
        ("/v1/items?colour=red", "colour"),
        ("/v1/users?limit=1e3", "limit"),
    ],
)
def test_what_cannot_be_looked_up_is_a_problem(disk_client, path: str, field: str) -> None:
    answer = disk_client.get(path)
    assert answer.status_code == 422
    assert field in answer.text
