"""No message repeats any of the URL of Redis: a password may be anywhere in one that is wrong."""

import pytest

from model.registry.address import RedisAddress
from service.ops.settings import Settings

SECRET = "Planted"


@pytest.mark.parametrize("sign", ["/", "?", "#", "/x/", "?db=", "#/"])
@pytest.mark.parametrize("login", ["user:", ":", ""])
@pytest.mark.parametrize(
    "url",
    [
        "redis://{}@host:6379/0",
        "rediss://{}@host",
        "redis+sentinel://{}@host:1,other:2/main/0",
        "redis+cluster://{}@host:1,other:2",
        "unix://{}@/run/redis.sock?db=0",
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_never_shown(url, login, sign) -> None:
    """Where it begins or ends with the sign, or holds it, also before digits."""
    for password in (
        f"{SECRET}{sign}{SECRET}",
        f"{sign}{SECRET}",
        f"{SECRET}{sign}",
        f"12{sign}34",
    ):
        given = url.format(login + password)
        if given.startswith("unix:///"):
            continue  # the path of a socket may have an @
        with pytest.raises(ValueError, match="percent-encoded") as refused:
            RedisAddress.of(given)
        assert SECRET not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__ or refused.value.__context__ is None
        with pytest.raises(ValueError, match="percent-encoded") as setting:
            Settings(redis_url=given)
        assert SECRET not in str(setting.value)
        assert SECRET not in repr(setting.value)


def test_an_encoded_one_is_taken() -> None:
    address = RedisAddress.of("redis://user:a%2Fb%3Fc%23d%40e%25@host/2")
    assert address.password == "a/b?c#d@e%"
    assert address.database == 2
    assert "a/b" not in f"{address} {address!r}"
    assert RedisAddress.of("redis://:a@b@host").password == "a@b"
    assert RedisAddress.of("unix:///run/at@home.sock").path == "/run/at@home.sock"


def test_nothing_else_that_is_wrong_is_shown() -> None:
    for url in (
        f"redis://host:6379/{SECRET}",
        f"redis://host:{SECRET}",
        f"redis://host?{SECRET}=1",
        f"redis://[{SECRET}",
        f"{SECRET}://host",
    ):
        with pytest.raises(ValueError) as refused:  # noqa: PT011  # each has its own words
            RedisAddress.of(url)
        assert SECRET not in str(refused.value)


def test_settings_show_no_secret() -> None:
    settings = Settings(redis_url=f"redis://:{SECRET}@host", keys="")
    assert SECRET not in f"{settings} {settings!r}"
