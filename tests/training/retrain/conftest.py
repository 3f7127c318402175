"""A retraining of the tiny data, small and quick."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from model.registry.keys import KeySpace
from model.registry.records import EVENT_FIELD, FeedbackEvent

SETTINGS = """
state = "{state}"
redis_url = "{redis_url}"
lock_seconds = 20

[data]
folder = "{data}"

[training]
max_epochs = 3
embedding_dim = 8
batch_size = 64
negatives = 16

[warm_start]
max_epochs = 2

[gate]
min_users = 5
margin = 0.9
group_margin = 0.9
"""


@pytest.fixture
def config_file(tiny_data: Path, tmp_path: Path, redis_url: str) -> Path:
    path = tmp_path / "retrain.toml"
    path.write_text(SETTINGS.format(state=tmp_path / "state", redis_url=redis_url, data=tiny_data))
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def click(client: redis.Redis) -> Callable[..., None]:
    """Events as the service writes them: `user` clicks on `item`."""

    def click(*pairs: tuple[str, str], kind: str = "click") -> None:
        now = datetime.now(UTC)
        for user, item in pairs:
            event = FeedbackEvent(
                event_id=f"{user}-{item}-{kind}",
                user_id=user,
                item_id=item,
                type=kind,
                timestamp=now,
                received_at=now,
            )
            client.xadd(KeySpace().feedback, {EVENT_FIELD: event.model_dump_json()})

    return click
