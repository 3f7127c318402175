import http.client
import json
import socket

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


@pytest.mark.parametrize("path", ["recommendations", "score"])
def test_broken_json_is_told_where(disk_client, path: str) -> None:
    answer = disk_client.post(
        f"/v1/{path}", content=b"{'user_id': 'u001'}", headers={"content-type": "application/json"}
    )
    assert_problem(answer, 422, "body.1: it is no JSON from character 2 on", "double quotes")


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
    assert answer.headers["allow"] == "GET, HEAD"
    answer = disk_client.delete("/v1/items/i001/availability")
    assert_problem(answer, 405, "DELETE")
    assert answer.headers["allow"] == "GET, HEAD, PUT"


def test_an_id_may_hold_what_a_path_must_quote(disk_client) -> None:
    for user in ("a%2Fb", "a/b", "%C3%BC%20%3F%23", "%0A%C3%BC", "a%0D%0Ab"):
        answer = disk_client.get(f"/v1/users/{user}/recommendations")
        assert answer.status_code == 200
        assert answer.json()["fallback"] == "popular"
    answer = disk_client.get("/v1/users/a%2Fb/explanations/x%2Fy")
    assert answer.status_code == 404
    assert "item 'x/y'" in answer.json()["detail"]
    assert disk_client.get("/v1/items/x%2Fy/similar").status_code == 404


def said(service, target: bytes, body: bytes = b"", method: bytes = b"GET") -> tuple[int, str]:
    """Status and text of the answer to a request as it is, byte for byte."""
    head = b"host: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
    head += b"content-length: %d\r\n\r\n" % len(body)
    with socket.create_connection((service.base_url.host, service.base_url.port)) as line:
        line.sendall(method + b" " + target + b" HTTP/1.1\r\n" + head + body)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        return answer.status, answer.read().decode()


def test_every_path_and_query_has_to_be_utf_8(disk_client) -> None:
    """Otherwise all ids that are not would be one."""
    paths = disk_client.get("/openapi.json").json()["paths"]
    named = [(p, m) for p, each in paths.items() if "{" in p for m in each]
    assert len(named) > 10
    for path, method in named:
        target = path.replace("{", "").replace("_id}", "%ff").replace("}", "%ff").encode()
        status, text = said(disk_client, target, method=method.upper().encode())
        assert status == 422, f"{method} {path}: {text}"
        assert "path: it is not UTF-8: byte 0xff" in text
    for query in (b"/v1/users?prefix=%ff", b"/v1/items?title=a%ED%A0%80", b"/v1/items?%fe=1"):
        status, text = said(disk_client, query)
        assert (status, "query: it is not UTF-8" in text) == (422, True), text


@pytest.mark.parametrize("path", [b"recommendations", b"explain", b"items:lookup", b"score"])
def test_a_body_that_is_not_utf_8_is_told_where(disk_client, path: bytes) -> None:
    status, text = said(disk_client, b"/v1/" + path, b'{"user_id": "\xff"}', b"POST")
    assert status == 400
    assert "body: it is not UTF-8: byte 0xff at place 14" in text


def test_an_address_that_is_not_percent_encoded_is_told_so(disk_client) -> None:
    for target in ("/v1/items/é", "/v1/items?title=é"):
        status, text = said(disk_client, target.encode())
        assert (status, "percent-encode" in json.loads(text)["detail"]) == (400, True)


def test_an_unknown_id_that_looks_like_a_known_one(disk_client) -> None:
    other = "cafe\u0301"
    words = "compared byte for byte"
    assert words in disk_client.get(f"/v1/items/{other}").json()["detail"]
    assert words in disk_client.get(f"/v1/users/{other}").json()["detail"]
    assert words in disk_client.recommend(other)["warnings"][0]
    for usual in ("café", "cafe"):
        assert words not in disk_client.get(f"/v1/items/{usual}").json()["detail"]
        assert words not in disk_client.recommend(usual)["warnings"][0]
