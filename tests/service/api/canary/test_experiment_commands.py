"""The commands that docs/how-to/experiments.md shows."""

import json
import re
from pathlib import Path

import pytest

from deploy.cli.app import main
from model.registry.canary import Canary
from model.registry.keys import KeySpace

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "experiments.md"
KEYS = KeySpace()


@pytest.fixture
def typed(store, replicas, make_artifact, redis_url):
    """Runs a command that the page shows, with the addresses of this test."""
    store.add(make_artifact("v2", 2))
    one, _ = replicas
    shown = re.findall(r"^magnet .+?(?= --redis-url|$)", PAGE.read_text(), re.MULTILINE)

    def typed(command: str, *more: str) -> int:
        assert command in shown
        _, *words = command.replace("VERSION", "v2").split()
        where = (
            ("--url", str(one.base_url)) if "experiment" in words else ("--redis-url", redis_url)
        )
        return main([*words, *more, *where])

    return typed


@pytest.fixture
def counted(store):
    """Sets what was counted, of 1,000 users a variant."""

    def counted(champion: int, challenger: int) -> None:
        canary = Canary.parse(store.get(KEYS.canary))
        found = {"champion_version": "v1", "since_ms": 1767268800000, "share": canary.share}
        for variant, clicks in (("champion", champion), ("challenger", challenger)):
            found |= {f"{variant}:users": 1000, f"{variant}:lists": 2000}
            found |= {f"{variant}:{what}_clicked": clicks for what in ("users", "lists")}
        key, *_ = KEYS.experiment(canary.version, canary.started_at)
        store.hset(key, mapping=found)

    return counted


def test_a_version_is_tried_and_promoted_once_it_is_better(typed, counted, store, capsys) -> None:
    assert typed("magnet canary VERSION --share 0.5") == 0
    counted(champion=100, challenger=120)
    capsys.readouterr()
    assert typed("magnet experiment") == 0
    told = capsys.readouterr().out
    assert told.startswith("Undecided: 12.0% of 1,000 users clicked with the challenger, ")
    assert re.search(r"champion v1 +challenger v2\n", told)
    assert re.search(r"users +1,000 +1,000\n  clicked +100 \(10.0%\) +120 \(12.0%\)\n", told)
    assert re.search(r"lists +2,000 +2,000\n  clicked +100 \(5.0%\) +120 \(6.0%\)\n", told)
    assert re.search(r"users who clicked: \+2.00 percentage points; 95 % for one look: -0.7", told)
    assert "counted since 2026-01-01 12:00 UTC" in told
    assert typed("magnet experiment", "--check") == 3
    assert typed("magnet promote VERSION --if-better") == 3
    assert "v2 is not promoted: Undecided: 12.0%" in capsys.readouterr().err
    assert store.get(KEYS.current) == b"v1"

    counted(champion=100, challenger=200)
    assert typed("magnet experiment", "--check") == 0
    assert capsys.readouterr().out.startswith("The challenger is better: 20.0% of 1,000 users")
    assert typed("magnet promote VERSION --if-better") == 0
    assert store.get(KEYS.current) == b"v2"
    assert typed("magnet experiment", "--json") == 0
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (told["outcome"], told["verdict"]) == ("promoted", "challenger better")
    assert typed("magnet experiment") == 0
    assert re.search(r"UTC, promoted 20", capsys.readouterr().out)


def test_nothing_was_compared(typed, capsys) -> None:
    assert typed("magnet experiment") == 1
    assert "nothing was compared yet" in capsys.readouterr().err
    assert typed("magnet promote VERSION --if-better") == 3
    assert "it is no canary, so nothing was compared; try it first" in capsys.readouterr().err
    assert typed("magnet canary VERSION --share 0.5") == 0
    assert typed("magnet experiment") == 0
    assert "difference of users who clicked: none yet" in capsys.readouterr().out
    assert typed("magnet canary --stop") == 0
    assert typed("magnet promote VERSION --if-better") == 3
