"""Without keys, pages of other sites in a browser of this machine can neither ask nor change."""

import pytest

from service.auth.keys import ApiKey
from service.ops.settings import Settings

HIDE = "/v1/items/i050/availability"
BODY = {"available": False}
EVIL = "evil.example"


def own(client) -> str:
    return str(client.base_url.netloc.decode())


def is_hidden(client) -> bool:
    return not client.get(HIDE).json()["available"]


def refused(answer, status: int = 403) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_another_host_is_not_answered(client) -> None:
    """As a page does whose name was bound to this machine's address."""
    for host in (EVIL, f"{EVIL}:8000", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        for path in ("/v1/users/u001/recommendations", "/metrics", "/", "/docs", "/openapi.json"):
            detail = refused(client.get(path, headers={"Host": host}))
            assert "MAGNET_ALLOWED_HOSTS" in detail
            assert EVIL not in detail
        refused(client.put(HIDE, json=BODY, headers={"Host": host}))
    assert not is_hidden(client)
    assert client.metric('magnet_auth_refusals_total{reason="host"}') == 30
    for path in ("/livez", "/readyz"):
        assert client.get(path, headers={"Host": EVIL}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8000"]
)
def test_this_machines_names_are_answered(client, host) -> None:
    assert client.put(HIDE, json=BODY, headers={"Host": host}).status_code == 200
    origin = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert client.put(HIDE, json=BODY, headers=origin).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": f"https://{EVIL}"},
        {"Origin": f"https://{EVIL}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},  # another program of this machine
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(client, headers) -> None:
    body = '{"available": false}'
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        answer = client.put(HIDE, content=body, headers=headers | {"Content-Type": kind})
        assert "MAGNET_ALLOWED_HOSTS" in refused(answer)
    line = '{"item_id": "new", "title": "Planted"}'
    refused(client.post("/v1/items:bulk", content=line, headers=headers))
    refused(client.post("/v1/models:unpin", headers=headers))
    refused(client.delete("/v1/users/u001", headers=headers))
    assert not is_hidden(client)
    assert client.get("/v1/items/new").status_code == 404
    assert client.recommend("u001")["fallback"] is None
    # It may ask, though the browser does not let it read the answer.
    assert client.get("/v1/model", headers=headers).status_code == 200


def test_pages_that_may_call_may_change(
    redis_url, artifact, publish, serving, following, until
) -> None:
    """`MAGNET_CORS_ORIGINS` alone is enough."""
    publish(redis_url, artifact)
    with serving(following(cors_origins="https://shop.example, http://localhost:3000")) as client:
        until(client.ready)
        for origin in ("https://shop.example", "http://localhost:3000"):
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            assert client.put(HIDE, json=BODY, headers=headers).status_code == 200
        for origin in ("http://shop.example", "https://shop.example:8443", f"https://{EVIL}"):
            refused(client.put(HIDE, json=BODY, headers={"Origin": origin}))


def test_a_body_names_its_type(client) -> None:
    line = '{"item_id": "new", "title": "New"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post("/v1/items:bulk", content=line, headers={"Content-Type": kind})
        assert "application/json" in refused(answer, 422)
    answer = client.post(
        "/v1/items:bulk", content=line, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 200
    assert client.post("/v1/models:unpin").status_code == 200, "without a body it needs none"


def test_hosts_that_are_named_are_answered(
    redis_url, artifact, publish, serving, following, until
) -> None:
    """As behind a proxy on the same machine that passes on the public name, or does not."""
    publish(redis_url, artifact)
    with serving(following(allowed_hosts="shop.example, *.shop.example")) as client:
        until(client.ready)
        page = {"Origin": "https://shop.example", "Sec-Fetch-Site": "same-origin"}
        for host in ("shop.example", "www.shop.example:443", own(client)):
            assert client.put(HIDE, json=BODY, headers=page | {"Host": host}).status_code == 200
        refused(client.get("/v1/model", headers={"Host": EVIL}))
        refused(client.put(HIDE, json=BODY, headers=page | {"Origin": f"https://{EVIL}"}))


def test_with_keys_any_host_is_answered_unless_some_are_named(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    key, secret = ApiKey.new("all", ["read", "admin"])
    headers = {"Host": EVIL, "Origin": f"https://{EVIL}", "Authorization": f"Bearer {secret}"}
    with serving(following(keys=key.line())) as client:
        until(client.ready)
        assert client.put(HIDE, json=BODY, headers=headers).status_code == 200
    with serving(following(keys=key.line(), allowed_hosts="shop.example")) as client:
        until(client.ready)
        refused(client.put(HIDE, json=BODY, headers=headers))
        assert client.put(HIDE, json=BODY, headers=headers | {"Host": "shop.example"}).is_success
    with serving(following(allow_anonymous=True)) as client:
        until(client.ready)
        del headers["Authorization"]
        assert client.put(HIDE, json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize("hosts", ["https://shop.example", "shop.example:80", "*", "a*.example"])
def test_what_is_no_host_is_no_setting(hosts) -> None:
    with pytest.raises(ValueError, match="names of hosts"):
        Settings(allowed_hosts=hosts)
