"""What the launcher publishes: the model that stands, or what its training writes until it ends."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.local.pipeline import Fitted, Training
from training.publish import PublishError, PublishPolicy, live_version, publish_artifact

_WAIT_FOR_PUBLISHER_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Models:
    """The models of one run of the launcher."""

    model: Fitted | Training
    redis_url: str
    namespace: str
    gives_way: bool
    """Whether early models may take no finished one's place."""
    retrained: str | None
    """What is live and stays, as a retraining has made it."""
    say: Callable[[str], None]
    served: str | None = None
    """The version that is to be served, once there is one."""
    _tried: str | None = None

    @property
    def training(self) -> bool:
        """Whether better models may come."""
        return isinstance(self.model, Training)

    def step(self) -> None:
        """Publish what there is to publish now.

        Raises:
            StepFailed: the training has failed.
            PublishError: the finished model cannot be published.
        """
        if isinstance(self.model, Training):
            if self.model.child.poll() is None:
                self._publish_early(self.model)
                return
            self.model = self.model.finish()
            self._publish_finished(self.model)
        elif self.served is None:
            self._publish_finished(self.model)

    def _publish_early(self, training: Training) -> None:
        written = training.folder.written()
        if written is None or written.model_version == self._tried or self.retrained is not None:
            return
        self._tried = written.model_version
        better = self.served is not None
        try:
            if (
                self._publish(training, PublishPolicy(gives_way=self.gives_way, force=True))
                and better
            ):
                ndcg = written.metrics["valid/ndcg@20"]
                self.say(f"serving a better model: {self._tried}, validation NDCG@20 {ndcg:.4f}")
        except PublishError as error:
            self.say(f"the early model {self._tried} is not published: {error}")

    def _publish_finished(self, fitted: Fitted) -> None:
        if self.retrained is not None:
            self.say(f"going on with {self.retrained}, which a retraining has made")
            self.served = self.retrained
            return
        after_early = self.served is not None
        policy = PublishPolicy(wait_seconds=_WAIT_FOR_PUBLISHER_SECONDS, force=True)
        if self._publish(fitted, policy) and after_early:
            self.say(f"training is finished: serving {self.served}. Ctrl-C stops everything.")

    def _publish(self, model: Fitted | Training, policy: PublishPolicy) -> bool:
        """Publish what the folder holds, unless somebody else has published meanwhile."""
        live = live_version(self.redis_url, self.namespace)
        folder = model.folder.artifact
        if self.served not in (None, live):
            self.say(
                f"{live} has gone live meanwhile and stays; `magnet publish {folder}` would make "
                "the newest model of this training live"
            )
            return False
        publish_artifact(folder, self.redis_url, self.namespace, policy=policy, report=self.say)
        self.served = live_version(self.redis_url, self.namespace)
        return True
