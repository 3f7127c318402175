import stat

import click
import pytest

from service.auth.keys import ApiKey, KeyFile, find_key, keys_command, parse_keys, write_keys


def main(words: list[str]) -> int:
    """The status of `magnet keys ...`."""
    try:
        keys_command.main(words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0


def test_only_the_hash_is_stored_and_only_the_secret_opens() -> None:
    shop, secret = ApiKey.new("shop", ["read", "feedback"])
    other, _ = ApiKey.new("other", ["admin"])
    keys = parse_keys(f"# keys\n\n{other.line()}\n{shop.line()}\n")
    assert keys == (other, shop)
    assert secret not in shop.line()
    assert find_key(keys, secret) == shop
    for wrong in ("", secret[:-1], secret.upper(), shop.sha256, "\udcff"):
        assert find_key(keys, wrong) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shop read", "expected NAME SCOPE"),
        (f"shop read {'A' * 64}", "expected NAME SCOPE"),
        (f"shop write {'a' * 64}", "not write"),
        (f"shop , {'a' * 64}", "not"),
        (f"sh/op read {'a' * 64}", "'sh/op' is not usable"),
        (f"shop read {'a' * 64}\nshop read {'b' * 64}", "line 2: there is a key named 'shop'"),
    ],
)
def test_a_line_that_is_no_key_is_named_without_its_hash(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        parse_keys(line)
    assert str(refusal.value).startswith("line ")
    assert "aaaa" not in str(refusal.value)


@pytest.mark.shows_a_secret
def test_keys_are_made_listed_and_removed_by_command(tmp_path, capsys) -> None:
    path = tmp_path / "keys.txt"
    new = ["new", "--file", str(path), "--scope", "read", "--name"]
    secrets = []
    for name in ("shop", "app"):
        assert main([*new, name]) == 0
        secrets.append(capsys.readouterr().out.strip())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [find_key(KeyFile(path).keys, secret).name for secret in secrets] == ["shop", "app"]
    assert not any(secret in path.read_text() for secret in secrets)

    assert main([*new, "shop"]) == 1
    assert "has a key named 'shop'" in capsys.readouterr().err
    assert main(["remove", "--name", "shop", "--file", str(path)]) == 0
    assert main(["remove", "--name", "shop", "--file", str(path)]) == 1
    capsys.readouterr()
    assert main(["list", "--file", str(path)]) == 0
    assert capsys.readouterr().out == "app\tread\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.shows_a_secret
def test_without_a_file_the_line_to_store_is_told(capsys) -> None:
    assert main(["new", "--name", "shop", "--scope", "admin"]) == 0
    told = capsys.readouterr()
    (key,) = parse_keys(told.err.splitlines()[0].removeprefix("store this line: "))
    assert find_key([key], told.out.strip()) == key


def test_a_missing_file_is_an_error_that_names_it(tmp_path, capsys) -> None:
    assert main(["list", "--file", str(tmp_path / "none")]) == 1
    assert f"{tmp_path / 'none'} cannot be read" in capsys.readouterr().err


def test_a_file_that_breaks_or_goes_keeps_the_keys_that_it_had(tmp_path) -> None:
    path = tmp_path / "keys.txt"
    first, _ = ApiKey.new("first", ["read"])
    second, _ = ApiKey.new("second", ["read"])
    write_keys(path, [first])
    file = KeyFile(path)
    path.write_text("nonsense\n")
    file.refresh()
    assert file.keys == (first,)
    path.unlink()
    file.refresh()
    assert file.keys == (first,)
    write_keys(path, [second])
    file.refresh()
    assert file.keys == (second,)


def test_a_file_that_is_there_keeps_its_rights_and_a_link_stays_one(tmp_path) -> None:
    path, link = tmp_path / "keys.txt", tmp_path / "link.txt"
    shop, _ = ApiKey.new("shop", ["read"])
    write_keys(path, [shop])
    path.chmod(0o644)
    link.symlink_to(path)
    assert main(["remove", "--name", "shop", "--file", str(link)]) == 0
    assert link.is_symlink()
    assert KeyFile(path).keys == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_files_that_cannot_hold_keys_are_named(tmp_path, capsys) -> None:
    path = tmp_path / "none" / "keys.txt"
    assert main(["new", "--name", "a", "--scope", "read", "--file", str(path)]) == 1
    assert f"{path} cannot be written: No such file" in capsys.readouterr().err
    path = tmp_path / "picture"
    path.write_bytes(b"\xff\xfe")
    assert main(["list", "--file", str(path)]) == 1
    assert f"{path} is not a file of keys" in capsys.readouterr().err
