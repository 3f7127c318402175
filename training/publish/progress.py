"""Tells a service how a training goes, by way of Redis (`model.registry.progress`).

A thread of its own does the sending, so the training waits for nothing. While Redis is away the
newest events are kept, and sent when it answers again.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Literal

from typing_extensions import override

from model.artifact.manifest import ArtifactManifest, EpochRecord
from model.network.config import BEHAVIOUR
from model.network.experts import structured_experts
from model.registry.keys import KeySpace
from model.registry.progress import (
    EVENT_FIELD,
    KEPT_SECONDS,
    MOST_EVENTS,
    SILENT_SECONDS,
    DataRead,
    EpochDone,
    ExpertName,
    ModelMade,
    RunBegan,
    RunEnded,
    StepBegan,
    TrainingEvent,
)
from training.cli.progress import NO_LISTENER, Listener
from training.data.dataset import Dataset
from training.fit.config import TrainingConfig
from training.publish.connection import Client, PublishError, connected

PULSE_SECONDS = SILENT_SECONDS / 3
"""Between two signs of life, and between two tries while Redis is away."""
GOODBYE_SECONDS = 2.0
"""Longest wait for the last events when the training has ended."""

What = Literal["fit", "retraining"]
_BATCH = 100
"""Events that are sent at once."""

log = logging.getLogger(__name__)


class Reporter(Listener):
    """Tells of one run. No method fails or waits, whatever becomes of Redis."""

    def __init__(self, redis_url: str, keys: KeySpace, run_id: str) -> None:
        self._redis_url, self._keys, self._run_id = redis_url, keys, run_id
        self._waiting: deque[TrainingEvent] = deque(maxlen=MOST_EVENTS)
        self._number = 0
        self._woken = threading.Event()
        self._ended = False
        self._complained = False
        self._thread = threading.Thread(target=self._send_all, name="progress", daemon=True)

    @classmethod
    @contextmanager
    def open(cls, redis_url: str, namespace: str, run_id: str, what: What) -> Iterator["Reporter"]:
        """A reporter that has said that the run begins; at the end it says how, if nobody has."""
        reporter = cls(redis_url, KeySpace(namespace), run_id)
        reporter._thread.start()
        reporter._tell(RunBegan, what=what)
        try:
            yield reporter
        except Exception:
            reporter.end("failed")
            raise
        except BaseException:
            reporter.end("stopped")
            raise
        finally:
            reporter.end("finished")

    @override
    def step(self, name: str) -> None:
        self._tell(StepBegan, step=name)

    @override
    def data(self, dataset: Dataset, config: TrainingConfig) -> None:
        experts = structured_experts((BEHAVIOUR, *dataset.features))
        self._tell(
            DataRead,
            users=len(dataset.user_ids),
            items=len(dataset.item_ids),
            positives=dataset.train.nnz,
            experts=[]
            if config.experts == "average"
            else [ExpertName(name=each.name, role=each.role) for each in experts],
        )

    @override
    def epoch(self, record: EpochRecord, most: int, *, everything: bool = False) -> None:
        self._tell(
            EpochDone,
            everything=everything,
            max_epochs=most,
            valid_ndcg20=None if everything else record.valid_ndcg20,
            seconds_left=(most - record.epoch) * record.seconds,
            **record.model_dump(exclude={"loss_terms", "valid_ndcg20"}),
        )

    @override
    def model(self, manifest: ArtifactManifest) -> None:
        self._tell(
            ModelMade,
            model_version=manifest.model_version,
            epochs=manifest.training.best_epoch,
            valid_ndcg20=manifest.metrics.get("valid/ndcg@20"),
            popular_ndcg20=manifest.metrics.get("baseline/popularity/valid/ndcg@20"),
            early=manifest.training.early,
        )

    def end(self, result: str, reason: str = "") -> None:
        """The run has ended; only the first call counts. Waits a little for the last events.

        Of a failure no reason is told, as it may name files; the run's own output has it.
        """
        if self._ended:
            return
        reason = "" if result == "failed" else reason
        self._tell(RunEnded, result=result, reason=reason)
        self._ended = True
        self._woken.set()
        self._thread.join(GOODBYE_SECONDS)

    def _tell(self, kind: type[TrainingEvent], **fields: Any) -> None:
        self._number += 1
        event = kind(run_id=self._run_id, number=self._number, at=datetime.now(UTC), **fields)
        self._waiting.append(event)
        self._woken.set()

    def _send_all(self) -> None:
        """The thread: until the last event is sent, or cannot be."""
        while True:
            try:
                with connected(self._redis_url) as client:
                    self._send_while_it_answers(client)
                return
            except PublishError as error:
                if not self._complained:
                    log.info(f"the page cannot show this training at the moment: {error}")
                self._complained = True
            if self._ended:
                return
            time.sleep(PULSE_SECONDS)

    def _send_while_it_answers(self, client: Client) -> None:
        while True:
            self._woken.clear()
            ending = self._ended
            self._send(client)
            while self._waiting:
                self._send(client)
            if ending:
                client.delete(self._keys.training_alive)
                return
            self._woken.wait(PULSE_SECONDS)

    def _send(self, client: Client) -> None:
        """Append the first events that wait, if any, and say that the run is alive."""
        stream, events = self._keys.training, list(self._waiting)[:_BATCH]
        with client.pipeline(transaction=False) as pipe:
            for event in events:
                if isinstance(event, RunBegan):
                    pipe.delete(stream)
                fields: Any = {EVENT_FIELD: event.model_dump_json()}
                pipe.xadd(stream, fields, maxlen=MOST_EVENTS, approximate=False)
            pipe.expire(stream, KEPT_SECONDS)
            pipe.set(self._keys.training_alive, self._run_id, ex=SILENT_SECONDS)
            pipe.execute()
        while events and self._waiting and self._waiting[0].number <= events[-1].number:
            self._waiting.popleft()


@contextmanager
def listening(redis_url: str | None, namespace: str) -> Iterator[Listener]:
    """Who listens to a training by hand: the service behind a Redis, if one is named."""
    if redis_url is None:
        yield NO_LISTENER
        return
    with Reporter.open(redis_url, namespace, token_hex(6), "fit") as reporter:
        yield reporter
