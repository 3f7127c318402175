"""TLS with a certificate authority of the test's own; clients must show a certificate."""

import socket
import ssl
from contextlib import suppress

import pytest
import trustme

from tests.waiting import PATIENCE_SECONDS
from training.publish.connection import PublishError


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificates(authority: trustme.CA, tmp_path) -> dict[str, str]:
    """Files: that of the authority, and the client's certificate and key."""
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    client = authority.issue_cert("magnet@example.org")
    authority.cert_pem.write_to_path(paths["ca"])
    client.cert_chain_pems[0].write_to_path(paths["cert"])
    client.private_key_pem.write_to_path(paths["key"])
    return {name: str(path) for name, path in paths.items()}


@pytest.fixture
def options(certificates) -> str:
    return "?ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}".format(**certificates)


@pytest.fixture(params=["behind a proxy", "by the server itself"])
def encrypted(
    request, authority, certificates, tmp_path, free_port, binary_of, start_server, proxy
) -> int:
    """The port of a server that speaks TLS only."""
    server_cert = authority.issue_cert("localhost", "127.0.0.1")
    if request.param == "behind a proxy":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.verify_mode = ssl.CERT_REQUIRED
        server_cert.configure_cert(context)
        authority.configure_trust(context)
        return proxy(start_server(binary_of("valkey")).port, tls=context).port
    chain, key = tmp_path / "server.pem", tmp_path / "server.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in server_cert.cert_chain_pems))
    server_cert.private_key_pem.write_to_path(key)
    files = ("--tls-cert-file", str(chain), "--tls-key-file", str(key))
    files += ("--tls-ca-cert-file", certificates["ca"], "--tls-port", str(free_port))
    start_server(binary_of("redis"), *files)
    return free_port


def test_a_certified_client_publishes_and_serves(
    encrypted, options, artifact, publish_to, serving, following, until
) -> None:
    url = f"rediss://127.0.0.1:{encrypted}/0{options}"
    assert publish_to(url, artifact) == "v1"
    with serving(following(url)) as client:
        until(client.ready)
        assert client.recommend("u001")["warnings"] == []


@pytest.mark.parametrize("flaw", ["another authority", "no certificate"])
def test_whoever_is_not_trusted_is_refused(
    flaw,
    encrypted,
    options,
    certificates,
    tmp_path,
    artifact,
    publish_to,
    serving,
    following,
    until,
) -> None:
    if flaw == "another authority":
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        options = options.replace("/ca.pem", "/other.pem")
    else:
        options = f"?ssl_ca_certs={certificates['ca']}"
    url = f"rediss://127.0.0.1:{encrypted}/0{options}"
    with pytest.raises(PublishError, match="does not answer"):
        publish_to(url, artifact)
    with serving(following(url)) as client:
        until(lambda: "is not reachable" in client.get("/readyz").json()["detail"])


def test_plain_text_is_not_spoken_to_a_tls_server(encrypted) -> None:
    heard = b""
    with socket.create_connection(("127.0.0.1", encrypted), timeout=PATIENCE_SECONDS) as line:
        line.sendall(b"PING\r\n")
        with suppress(ConnectionResetError):
            heard = line.recv(64)
    assert b"PONG" not in heard
