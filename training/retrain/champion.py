"""The live model, as far as it can be compared with a new one and gone on from.

Knows runs and weights; knows nothing about gates.
"""

from dataclasses import dataclass
from datetime import datetime

from training.retrain.record import RunRecord
from training.retrain.runs import Runs
from training.retrain.weights import SavedWeights, WeightsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The live version."""

    version: str | None
    weights: SavedWeights | None
    """None if it cannot be compared or gone on from."""
    why_not: str
    """The reason, for people; empty if there are weights."""
    run: RunRecord | None
    """The run that made it."""

    @property
    def newest_event(self) -> datetime | None:
        """When the newest event that it knows was received; None if it knows none."""
        return None if self.run is None else self.run.newest_event

    def nothing_new(self, inputs: str, new_events: int, needed: int) -> str:
        """Why another run would make the same model again; empty if it would not.

        Args:
            inputs: digest of data folder and settings, as in a run's record.
            new_events: since its own run.
            needed: how many are worth a run.
        """
        if self.run is None or self.run.inputs != inputs or new_events >= needed:
            return ""
        return f"{new_events} new events since {self.version} was made, {needed} are needed"


def find_champion(runs: Runs, live: str | None, tested_from: float) -> Champion:
    """What is known of the live version.

    Args:
        runs: all runs of this state folder.
        live: its name.
        tested_from: Unix time from which on positives test; a model that was trained on any of them
            has seen the answers.
    """
    made = runs.of_version(live)
    record = made[1] if made is not None else None

    def champion(weights: SavedWeights | None, why_not: str) -> Champion:
        return Champion(version=live, weights=weights, why_not=why_not, run=record)

    if live is None:
        return champion(None, "nothing is live yet")
    if made is None:
        return champion(
            None,
            f"{live} was not made by a retraining with this state folder, so it may have been "
            "trained on what would test it (the next run goes on from what this one makes)",
        )
    try:
        weights = SavedWeights.load(made[0].weights)
    except WeightsError as error:
        return champion(None, str(error))
    if weights.trained_until >= tested_from:
        return champion(None, f"{live} was trained on part of what would test it")
    return champion(weights, "")
