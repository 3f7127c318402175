import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.ops.settings import Settings, variable_name

CONFIGURATION = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = {
        cells[1].strip(" `"): cells[3].strip(" `")
        for line in CONFIGURATION.read_text().splitlines()
        if len(cells := line.split("|")) == 6
    }
    for field, info in Settings.model_fields.items():
        documented = rows[variable_name(field)]
        if info.default_factory is None:
            expected = "none" if info.default is None else str(info.default)
            assert documented == expected, field


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss://me:secret@redis.example:7000/2")
    monkeypatch.setenv("MAGNET_MAX_K", "7")
    settings = Settings.from_environment()
    assert (settings.max_k, str(settings.redis_address)) == (7, "redis.example:7000")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAGNET_MAX_K", "many"),
        ("MAGNET_MAX_K", "0"),
        ("MAGNET_POLL_SECONDS", "-1"),
        ("MAGNET_NAMESPACE", "a b"),
        ("MAGNET_LOG_LEVEL", "loud"),
        ("MAGNET_SHARD", "3/2"),
        ("MAGNET_SHARD", "1/2"),  # of which the others are not named
        ("MAGNET_SHARDS", "a:8000,b:8000"),
        ("REDIS_URL", "http://me:secret@localhost"),
        ("REDIS_URL", "redis://me:secret@localhost:port"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        Settings.from_environment()
    (line,) = str(ended.value).splitlines()
    assert variable in line
    assert "secret" not in line


def test_a_bad_setting_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app", "--port", "0"],
        env=os.environ | {"REDIS_URL": "http://me:secret@localhost"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "REDIS_URL" in line
    assert "secret" not in line


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_items"):
        Settings(max_items=3)  # type: ignore[call-arg]
