"""The models that are served at one moment, and which of them a user gets.

Immutable: a request captures one reference. Knows snapshots; knows nothing about HTTP or about how
models come and go.
"""

from dataclasses import dataclass

from model.contract.canary import Canary
from model.contract.feedback import Variant
from service.metrics import Metrics
from service.snapshot import Snapshot
from service.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model in its role."""

    snapshot: Snapshot
    variant: Variant
    tally: Tally

    @classmethod
    def of(cls, snapshot: Snapshot, variant: Variant, metrics: Metrics) -> "Served":
        """A model that starts in a role."""
        experts = [expert.name for expert in snapshot.manifest.experts]
        tally = Tally(experts, metrics, variant)
        return cls(snapshot=snapshot, variant=variant, tally=tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A canary that has been loaded."""

    canary: Canary
    served: Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What is served."""

    champion: Served
    """The live model."""
    trial: Trial | None = None

    def of(self, user_id: str | None) -> Served:
        """The model of a user; nobody in particular gets the live one."""
        if self.trial is None or user_id is None or not self.trial.canary.takes(user_id):
            return self.champion
        return self.trial.served

    def variant_of(self, version: str | None) -> Variant | None:
        """The role of a version, if it is served."""
        if version == self.champion.snapshot.version:
            return "champion"
        if self.trial is not None and version == self.trial.canary.version:
            return "challenger"
        return None
