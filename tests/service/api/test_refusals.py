import http.client
import json

import pytest


def assert_problem(answer, status: int, *words: str):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["instance"] == answer.request.url.path
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["title"]
    for word in words:
        assert word in problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("k=0", "query.k"),
        ("k=-1", "query.k"),
        ("k=ten", "query.k"),
        ("k=1.5", "query.k"),
        ("k=51", "k"),
        ("k=1000000", "k"),
        ("offset=-1", "query.offset"),
        ("exclude_seen=perhaps", "query.exclude_seen"),
        ("novelty=0.3", "query.novelty"),
    ],
)
def test_query_parameters(disk_client, query: str, field: str) -> None:
    answer = disk_client.get(f"/v1/users/u001/recommendations?{query}")
    problem = assert_problem(answer, 422, field)
    assert [fault["field"] for fault in problem["errors"]] == [field]


def test_too_large_a_k_says_what_is_offered(disk_client) -> None:
    for path in ("/v1/users/u001/recommendations", "/v1/items/i001/similar"):
        assert_problem(disk_client.get(f"{path}?k=1000000"), 422, "1000000", "50")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"session_items": []}, "body"),
        ({"user_id": 196}, "body.user_id"),
        ({"user_id": ""}, "body.user_id"),
        ({"user_id": "u" * 257}, "body.user_id"),
        ({"user_id": "u001", "k": "10"}, "body.k"),
        ({"user_id": "u001", "k": True}, "body.k"),
        ({"user_id": "u001", "k": 0}, "body.k"),
        ({"user_id": "u001", "k": 1_000_000}, "k"),
        ({"user_id": "u001", "novelty": 0.3}, "body.novelty"),
        ({"user_id": "u001", "explain": "all"}, "body.explain"),
        ({"user_id": "u001", "candidates": "i001"}, "body.candidates"),
        ({"user_id": "u001", "candidates": ["i001", 5]}, "body.candidates.1"),
        ({"user_id": "u001", "exclude": ["x"] * 10_001}, "body.exclude"),
        ({"session_items": ["x"] * 1001}, "body.session_items"),
        (["u001"], "body"),
        (None, "body"),
    ],
)
def test_bodies(disk_client, body, field: str) -> None:
    problem = assert_problem(disk_client.post("/v1/recommendations", json=body), 422)
    assert [fault["field"] for fault in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("path", "body", "parts"),
    [
        ("/v1/score", {"user_id": "u001", "items": []}, ["items"]),
        ("/v1/score", {"items": ["i001"]}, ["user_id, session_items or both"]),
        ("/v1/score", {"user_id": "u001", "items": ["i001"] * 51}, ["items", "51", "50"]),
        ("/v1/recommendations:batch", {"requests": []}, ["requests"]),
        (
            "/v1/recommendations:batch",
            {"requests": [{"user_id": "u001"}, {"user_id": "u001", "k": 51}]},
            ["requests.1.k", "51", "50"],
        ),
        ("/v1/recommendations:batch", {"requests": [{"k": 1}]}, ["requests.0"]),
        ("/v1/recommendations", {"user_id": "u001", "diversity": 1.5}, ["diversity"]),
        ("/v1/explain", {"item_id": "i001"}, ["user_id, session_items or both"]),
        ("/v1/explain", {"user_id": "u001"}, ["item_id"]),
    ],
)
def test_lists_and_batches(disk_client, path: str, body, parts: list[str]) -> None:
    assert_problem(disk_client.post(path, json=body), 422, *parts)


def test_a_list_of_bad_ids_gets_a_short_answer(disk_client) -> None:
    body = {"user_id": "u001", "candidates": [5] * 5000}
    problem = assert_problem(disk_client.post("/v1/recommendations", json=body), 422)
    assert len(problem["errors"]) == 20


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"user_id": "u001", "k": NaN}',
        b'{"user_id": "\\ud800"}',
        b'{"user_id": "u001", "\\ud800": 1}',
        b'{"session_items": ["\\ud800"]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_broken_json(disk_client, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = disk_client.post("/v1/recommendations", content=raw, headers=headers)
    assert_problem(answer, answer.status_code)
    assert answer.status_code in (400, 422)


def test_unknown_items_and_users_are_named(disk_client) -> None:
    gone = disk_client.get("/v1/items/gone/similar")
    assert_problem(gone, 404, "item 'gone'", "v1")
    assert_problem(disk_client.get("/v1/users/u001/explanations/gone"), 404, "item 'gone'")
    for user_id in ("nobody", "u029"):
        answer = disk_client.get(f"/v1/users/{user_id}/explanations/i001")
        assert_problem(answer, 404, user_id, "session_items", "POST /v1/explain")


def test_an_unknown_modality_is_told_what_there_is(disk_client) -> None:
    answer = disk_client.get("/v1/items/i001/similar?modality=smell")
    assert_problem(answer, 422, "'smell'", "behaviour, text, picture")


def test_paths_and_methods_that_are_not_there(disk_client) -> None:
    assert_problem(disk_client.get("/v2/model"), 404, "/v2/model", "/docs")
    answer = disk_client.delete("/v1/model")
    assert_problem(answer, 405, "DELETE")
    assert answer.headers["allow"] == "GET"
    answer = disk_client.delete("/v1/items/i001/availability")
    assert_problem(answer, 405, "DELETE")
    assert answer.headers["allow"] == "GET, PUT"


def test_a_path_of_raw_bytes_is_no_server_error(disk_client) -> None:
    url = disk_client.base_url
    connection = http.client.HTTPConnection(url.host, url.port, timeout=5)
    connection.request("GET", "/v1/users/%ff%fe%00/recommendations")
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["fallback"]) == (200, "popular")
    connection.close()


def test_an_id_may_hold_what_a_path_must_quote(disk_client) -> None:
    for user in ("a%2Fb", "a/b", "%C3%BC%20%3F%23", "%0A%C3%BC", "a%0D%0Ab"):
        answer = disk_client.get(f"/v1/users/{user}/recommendations")
        assert answer.status_code == 200
        assert answer.json()["fallback"] == "popular"
    answer = disk_client.get("/v1/users/a%2Fb/explanations/x%2Fy")
    assert answer.status_code == 404
    assert "item 'x/y'" in answer.json()["detail"]
    assert disk_client.get("/v1/items/x%2Fy/similar").status_code == 404
