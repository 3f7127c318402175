"""Two-stage schedule of the router: coverage first, then specialisation, started by a trigger.

The stages and the entropy trigger are from arXiv:2602.20723; the plateau test that replaces its
hand-set thresholds is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["encoders", "coverage", "specialisation"]
Switch = Literal["entropy", "never"] | int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingWeights:
    """Weights of the routing terms of the loss in one epoch."""

    coverage: float
    """On utilisation (maximised while it is below `floor`)."""
    specialisation: float
    """On the entropy of single pairs (minimised)."""
    floor: float
    """Utilisation above which the coverage term is zero."""
    gate: float
    """Factor of the serving gate's threshold: 0 is a plain softmax, 1 is as served."""


@dataclass(slots=True, kw_only=True)
class EntropySchedule:
    """Decides when the router may specialise; epochs are those of the router.

    Two series are smoothed by a moving average: utilisation (entropy of the mean routing
    distribution over log K) and the training loss. Coverage ends when over `window` epochs the
    first has moved by less than `entropy_tolerance` and the second by less than `loss_tolerance` of
    itself: experts and encoders have settled. Then specialisation ramps up linearly over `ramp`
    epochs. Tolerances are in units of normalised entropy and of relative loss, so they are the same
    for every data set. `switch` fixes the trigger instead, for comparison: after so many epochs, or
    never.
    """

    coverage_weight: float
    specialisation_weight: float
    switch: Switch = "entropy"
    window: int = 5
    entropy_tolerance: float = 0.01
    loss_tolerance: float = 0.03
    ramp: int = 5
    floor_share: float = 0.9
    """Specialisation may cost this much of the utilisation reached, no more."""
    utilisation: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    trigger_epoch: int | None = None
    """The epoch after which specialisation began."""

    def __post_init__(self) -> None:
        if self.switch == 0:
            self.trigger_epoch = 0

    @property
    def stage(self) -> Stage:
        """The stage of the next epoch."""
        return "coverage" if self.trigger_epoch is None else "specialisation"

    @property
    def epoch(self) -> int:
        """Epochs observed so far."""
        return len(self.utilisation)

    def weights(self) -> RoutingWeights:
        """Weights for the next epoch."""
        if self.trigger_epoch is None:
            return RoutingWeights(
                coverage=self.coverage_weight, specialisation=0.0, floor=1.0, gate=0.0
            )
        share = min(1.0, (self.epoch - self.trigger_epoch + 1) / self.ramp)
        reached = self.utilisation[self.trigger_epoch - 1] if self.trigger_epoch else 1.0
        return RoutingWeights(
            coverage=self.coverage_weight,
            specialisation=self.specialisation_weight * share,
            floor=self.floor_share * reached,
            gate=share,
        )

    def observe(self, utilisation: float, loss: float) -> None:
        """Record an epoch; may start the second stage."""
        for series, value in ((self.utilisation, utilisation), (self.loss, loss)):
            series.append(0.5 * (series[-1] + value) if series else value)
        if self.trigger_epoch is None and self._due():
            self.begin()

    def begin(self) -> None:
        """Start the second stage, whether or not the series have settled."""
        self.trigger_epoch = self.epoch

    def _due(self) -> bool:
        if self.switch != "entropy":
            return self.epoch == self.switch
        return swing(self.utilisation, self.window) < self.entropy_tolerance and swing(
            self.loss, self.window
        ) < self.loss_tolerance * abs(self.loss[-1])


def swing(series: Sequence[float], window: int) -> float:
    """Largest minus smallest value over the last `window` steps; infinite if there are fewer."""
    recent = series[-window - 1 :]
    return max(recent) - min(recent) if len(recent) == window + 1 else math.inf
