"""Which of two models that share the traffic is better: counts by variant, and a verdict.

Users are what is compared. A user always gets the same variant, so their lists and clicks hang
together, while users do not; lists are counted for information only. The verdict holds however
often one looks, because its interval is a confidence sequence: with a probability of 95 % it
contains the true difference at all times at once.

Ref: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Time-uniform central limit theory and
asymptotic confidence sequences, Annals of Statistics 52, Theorem 2.2; the mixture is that of
Robbins (1970), as in Johari, Koomen, Pekelis and Walsh (2017), Peeking at A/B tests, KDD.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from model.registry.records import Variant

ALPHA = 0.05
"""How often two equal models may ever be called different."""
TUNED_USERS = 10_000
"""Users of both variants with which the always valid interval is narrowest, in proportion to the
usual one: ours. With a hundred times more or fewer it is a fifth wider than it could be."""
MIN_EXPECTED = 10
"""Fewest users of the smaller variant that would have clicked, and that would not have, if both
were equal; with fewer the normal approximation fails."""
MOST_USERS = 10_000_000
"""Largest number of users that a forecast names."""
LOST_DEVIATIONS = 4.5
"""How far the number of the challenger's users may be from what the share leads to, in standard
deviations: by chance it is further in one look of 150,000."""
_DEVIATIONS = 1.959963984540054
"""Half the width of a 95 % interval in standard deviations."""
_RHO_SQUARED = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / TUNED_USERS
"""Equation (10) of the reference."""

Verdict = Literal["challenger better", "champion better", "undecided"]


class Tally(BaseModel):
    """What was counted for one variant, over all replicas."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    lists: int = Field(0, description="Lists answered to its users")
    lists_clicked: int = Field(0, description="Of these, lists with a click or more")
    lists_purchased: int = Field(0, description="Of these, lists with a purchase")
    users: int = Field(0, description="Users who were answered a list")
    users_clicked: int = Field(0, description="Of these, users with a click or more")
    users_purchased: int = Field(0, description="Of these, users with a purchase")

    @classmethod
    def of(cls, stored: Mapping[bytes, bytes], variant: Variant) -> Self:
        """Its fields of the hash `KeySpace.experiment`."""
        found = {name: stored.get(f"{variant}:{name}".encode(), 0) for name in cls.model_fields}
        return cls(**{name: int(value) for name, value in found.items()})


class Interval(BaseModel):
    """A rate, or a difference of two, lies between these."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    low: float
    high: float


class Comparison(BaseModel):
    """How much more often the challenger's users respond than the champion's."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    difference: float | None = Field(
        description="Challenger's rate less champion's; null before both have users"
    )
    interval: Interval | None = Field(
        description="95 %, valid for one look, at a time that was set before"
    )
    always_valid_interval: Interval | None = Field(
        description="95 %, valid however often one looks; null with too few responses"
    )
    p_value: float = Field(description="Always valid; 1 while nothing can be said")

    @property
    def verdict(self) -> Verdict:
        """Which variant has the higher rate, as far as can be said."""
        if self.difference is None or self.p_value > ALPHA:
            return "undecided"
        return "challenger better" if self.difference > 0 else "champion better"


class Responses(NamedTuple):
    """Users of one variant, and those of them who responded."""

    users: int
    responded: int

    @property
    def rate(self) -> float:
        """Share of those who responded; there must be users."""
        return self.responded / self.users

    @property
    def variance(self) -> float:
        """Of the rate, as that of a count of rare events: never too small.

        Users who have not clicked may still do so. That of a share, which is smaller by the factor
        1 - rate, would hold if every user were done.
        """
        return (self.responded + 1) / (self.users + 1) / self.users

    def wilson(self) -> Interval:
        """The 95 % interval of the rate. Ref: Wilson (1927), J. Am. Stat. Assoc. 22."""
        squared, rate, users = _DEVIATIONS**2, self.rate, self.users
        centre = rate + squared / (2 * users)
        spread = _DEVIATIONS * math.sqrt(rate * (1 - rate) / users + squared / (4 * users**2))
        scale = 1 + squared / users
        return Interval(low=(centre - spread) / scale, high=(centre + spread) / scale)


def compare(champion: Responses, challenger: Responses) -> Comparison:
    """Compare the rates of two variants whose users were drawn at random."""
    difference = interval = valid = None
    p_value = 1.0
    if champion.users and challenger.users:
        difference = challenger.rate - champion.rate
        interval = _newcombe(champion, challenger)
        if _is_enough(champion, challenger):
            users, deviation = _spread(champion, challenger)
            width = _half_width(users, deviation)
            valid = Interval(low=max(-1.0, difference - width), high=min(1.0, difference + width))
            p_value = _p_value(users, difference / deviation)
    return Comparison(
        difference=difference,
        interval=interval,
        always_valid_interval=valid,
        p_value=p_value,
    )


def users_needed(champion: Responses, challenger: Responses) -> int | None:
    """How many more users would settle it if rates and shares stay; None: `MOST_USERS` or more.

    There must be users and responses enough for an always valid interval.
    """
    users, deviation = _spread(champion, challenger)
    difference = abs(challenger.rate - champion.rate)
    low, high = users, MOST_USERS
    if _half_width(high, deviation) >= difference:
        return None
    while low < high:  # the width falls with the number of users
        middle = (low + high) // 2
        if _half_width(middle, deviation) < difference:
            high = middle
        else:
            low = middle + 1
    return low - users


def _is_enough(champion: Responses, challenger: Responses) -> bool:
    """Judged by both together: the choice must not depend on the difference."""
    users = champion.users + challenger.users
    rate = (champion.responded + challenger.responded) / users
    rarer = min(rate, 1 - rate)
    return rarer * min(champion.users, challenger.users) >= MIN_EXPECTED


def _spread(champion: Responses, challenger: Responses) -> tuple[int, float]:
    """Users of both, and the standard deviation that the difference would have with one."""
    users = champion.users + challenger.users
    return users, math.sqrt(users * (champion.variance + challenger.variance))


def _half_width(users: int, deviation: float) -> float:
    """Half width of the confidence sequence."""
    scaled = users * _RHO_SQUARED + 1
    return deviation * math.sqrt(
        2 * scaled / (users**2 * _RHO_SQUARED) * math.log(math.sqrt(scaled) / ALPHA)
    )


def _p_value(users: int, deviations: float) -> float:
    """The smallest alpha whose interval leaves out zero: one over the mixture likelihood ratio."""
    scaled = users * _RHO_SQUARED + 1
    exponent = (users * deviations) ** 2 * _RHO_SQUARED / (2 * scaled)
    return min(1.0, math.sqrt(scaled) * math.exp(-exponent))


def _newcombe(champion: Responses, challenger: Responses) -> Interval:
    """The 95 % interval of a difference. Ref: Newcombe (1998), Stat. Med. 17, method 10."""
    old, new = champion.wilson(), challenger.wilson()
    difference = challenger.rate - champion.rate
    below = math.hypot(challenger.rate - new.low, old.high - champion.rate)
    above = math.hypot(new.high - challenger.rate, champion.rate - old.low)
    return Interval(low=difference - below, high=difference + above)


class Experiment(BaseModel):
    """What a canary's users and the others have done so far."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    share: float | None = None
    """Share of the users who get the challenger; None before anything was counted."""
    champion_version: str | None = None
    """The version that was live; None before anything was counted."""
    counted_since: AwareDatetime | None = None
    """Counting begins anew when the share changes: then users change variant."""
    variants: dict[Variant, Tally]
    full: bool = False
    """Whether no further user is counted."""
    damaged: bool = False
    """Whether the counts could not be read, and nothing counts."""

    @classmethod
    def of(cls, stored: Mapping[bytes, bytes] | None) -> Self:
        """Parse the hash `KeySpace.experiment`; an empty one is an experiment before its start.

        None: what stands there is no hash.
        """
        try:
            if stored is not None:
                return cls._of(stored)
        except (ValueError, OverflowError, OSError):
            pass
        return cls._of({}).model_copy(update={"damaged": True})

    @classmethod
    def _of(cls, stored: Mapping[bytes, bytes]) -> Self:
        champion, since = stored.get(b"champion_version"), stored.get(b"since_ms")
        share = stored.get(b"share")
        return cls(
            share=None if share is None else float(share),
            champion_version=None if champion is None else champion.decode(),
            counted_since=None if since is None else datetime.fromtimestamp(int(since) / 1000, UTC),
            variants={variant: Tally.of(stored, variant) for variant in get_args(Variant)},
            full=b"full" in stored,
        )

    @property
    def clicks(self) -> Comparison:
        """Users with a click: the verdict is about these."""
        return compare(*self._responses("users_clicked"))

    @property
    def purchases(self) -> Comparison:
        """Users with a purchase: rare, so for information."""
        return compare(*self._responses("users_purchased"))

    @property
    def verdict(self) -> Verdict:
        """Which variant's users click more often, as far as can be said."""
        return "undecided" if self.loses_users else self.clicks.verdict

    @property
    def loses_users(self) -> bool:
        """Whether a variant has far fewer users than were drawn for it.

        Then something keeps some of them from being counted, and those who remain differ. Ref:
        Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments,
        KDD.
        """
        champion, challenger = (self.variants[each].users for each in get_args(Variant))
        users = champion + challenger
        if self.share is None or users == 0:
            return False
        deviation = math.sqrt(users * self.share * (1 - self.share))
        return abs(challenger - self.share * users) > LOST_DEVIATIONS * deviation

    @property
    def users_needed(self) -> int | None:
        """How many more users would settle it; None if nobody can say, or it is settled."""
        clicks = self.clicks
        if self.verdict != "undecided" or clicks.always_valid_interval is None or self.loses_users:
            return None
        return users_needed(*self._responses("users_clicked"))

    @property
    def summary(self) -> str:
        """The verdict in plain words."""
        if self.damaged:
            return (
                "The counts cannot be read: what Redis has of this experiment is none of ours, or "
                "has fields that are not. Begin anew: stop the canary and start it again."
            )
        clicks = self.clicks
        champion, challenger = self._responses("users_clicked")
        if clicks.difference is None:
            return (
                "Undecided: users of both variants have to be answered lists first, and events "
                "have to be reported with the `variant` of the list."
            )
        if self.loses_users:
            return (
                f"Undecided, and not to be trusted: {challenger.users:,} of "
                f"{champion.users + challenger.users:,} users got the challenger, though "
                f"{self.share:.1%} were drawn. Does one variant fail or time out more often?"
            )
        counted = (
            f"{challenger.rate:.1%} of {challenger.users:,} users clicked with the challenger, "
            f"{champion.rate:.1%} of {champion.users:,} with the champion"
        )
        if clicks.always_valid_interval is None:
            return (
                f"Undecided: {counted}. That is too little: at equal rates {MIN_EXPECTED} users of "
                "the smaller variant must be expected to click, and as many not to."
            )
        ends = clicks.always_valid_interval
        between = (
            f"the difference is between {100 * ends.low:+.1f} and {100 * ends.high:+.1f} "
            "percentage points"
        )
        if self.verdict != "undecided":
            better = self.verdict.removesuffix(" better")
            return f"The {better} is better: {counted}; {between}."
        return f"Undecided: {counted}; {between}. {self._forecast()}"

    def _forecast(self) -> str:
        if self.full:
            return "No further user is counted: if they differ, it is by too little to be seen."
        needed = self.users_needed
        if needed is None:
            return "They are so close that millions more users would not settle it."
        rounded = float(f"{needed:.1g}")
        return f"If the rates stay, about {rounded:,.0f} more users of both settle it."

    def _responses(self, what: Literal["users_clicked", "users_purchased"]) -> list[Responses]:
        """Champion, challenger."""
        tallies = [self.variants[variant] for variant in get_args(Variant)]
        return [Responses(tally.users, getattr(tally, what)) for tally in tallies]
