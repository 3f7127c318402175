"""A key is shown to the service alone."""

import pytest

from magnet_client import AsyncClient, Client, MagnetError, UnusableKey
from service.auth.keys import ApiKey, KeyFile, write_keys

SECRET = "mgk_Planted"


@pytest.mark.parametrize("given", [f"{SECRET}\n", f" {SECRET}\r\n", SECRET])
def test_white_space_around_it_is_taken_away(given) -> None:
    with Client("http://127.0.0.1:1", api_key=given) as client:
        assert client._http.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "given", [f"{SECRET}\nx", f"{SECRET}é", f"{SECRET} x", f"\0{SECRET}", " \n"]
)
def test_what_cannot_be_one_is_refused_and_not_shown(given) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(UnusableKey) as refused:
            kind("http://127.0.0.1:1", api_key=given)
        assert isinstance(refused.value, MagnetError)
        assert "Planted" not in f"{refused.value} {refused.value!r}"
        assert refused.value.__cause__ is None


def test_a_file_that_others_may_read_or_write_is_told(tmp_path, caplog) -> None:
    path = tmp_path / "keys.txt"
    write_keys(path, [ApiKey.new("shop", ["read"])[0]])
    file = KeyFile(path)
    assert caplog.text == ""
    path.chmod(0o646)
    path.write_text(path.read_text() + "\n")
    file.refresh()
    assert "others may write" in caplog.text
    assert "everybody may read" in caplog.text
