"""Redis key names of one namespace: the live pointer, coordination keys and versioned chunks.

Coordination keys share the hash tag `{namespace}`, so that one MULTI may touch them on a cluster.
Chunks carry no tag, so a cluster spreads them over its nodes.
"""

import re
from dataclasses import dataclass, field, fields
from datetime import datetime

STRING, SET, HASH, ZSET, STREAM, COUNTER = (
    {"type": name} for name in ("string", "set", "hash", "zset", "stream", "counter")
)
"""What a key holds, as Redis's TYPE has it; a counter is a string that is a whole number."""
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(value: str, what: str) -> str:
    """Return `value` if it can stand in a key; raise ValueError that names `what` otherwise."""
    if not _SAFE.fullmatch(value):
        raise ValueError(
            f"{what} {value!r} is not usable in a Redis key: "
            "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
        )
    return value


@dataclass(frozen=True, slots=True)
class KeySpace:
    """Every key of one namespace. The field `name` is the key `mg:{<namespace>}:<name>`."""

    namespace: str = "default"
    current: str = field(init=False, metadata=STRING)
    """The pointer: its value is the live model version."""
    previous: str = field(init=False, metadata=STRING)
    """The version that was live before the last publish."""
    pinned: str = field(init=False, metadata=STRING)
    """The version that stays live whatever is published; absent while none is pinned."""
    canary: str = field(init=False, metadata=STRING)
    """The latest canary, JSON (`model.registry.canary`); it stays when the canary has ended."""
    canary_answers: str = field(init=False, metadata=HASH)
    """Hash of version -> how many answers it has given as a canary, over all replicas."""
    versions: str = field(init=False, metadata=ZSET)
    """Sorted set of complete versions, scored by publish time in Unix seconds."""
    events: str = field(init=False)
    """Pub/sub channel that announces a change of versions (a hint: replicas poll too)."""
    lock: str = field(init=False, metadata=STRING)
    """The publisher's lock; its value is the holder's fencing token."""
    retrain_lock: str = field(init=False, metadata=STRING)
    """The lock of the one retraining that may run; its value is the holder's fencing token."""
    fence: str = field(init=False, metadata=COUNTER)
    """Counter from which fencing tokens are drawn."""
    runs: str = field(init=False, metadata=STRING)
    """The record of the latest retraining, JSON."""
    training: str = field(init=False, metadata=STREAM)
    """Stream of what the latest training tells (`model.registry.progress`); it expires."""
    training_alive: str = field(init=False, metadata=STRING)
    """The id of the training that runs; it expires unless the training renews it."""
    unavailable: str = field(init=False, metadata=SET)
    """Set of the ids of items that no answer may show."""
    availability_revision: str = field(init=False, metadata=COUNTER)
    """Counter (`model.registry.revisions`) that every change of `unavailable` raises in the same
    step."""
    availability_log: str = field(init=False, metadata=STREAM)
    """Stream of the latest changes of `unavailable`; the id of each begins with its revision."""
    items: str = field(init=False, metadata=HASH)
    """Hash of item id -> record (`model.registry.items`) of what was put while serving, JSON."""
    item_changes: str = field(init=False, metadata=ZSET)
    """Sorted set of the ids in `items`, scored by the revision that changed them last."""
    items_revision: str = field(init=False, metadata=COUNTER)
    """Counter (`model.registry.revisions`) that every change of `items` raises in the same step."""
    items_log: str = field(init=False, metadata=STREAM)
    """Stream of the latest revisions of `items`; the id of each begins with it."""
    rules: str = field(init=False, metadata=STRING)
    """The default rules of lists, JSON; absent while there are none."""
    feedback: str = field(init=False, metadata=STREAM)
    """Stream of events that training has not taken over; training deletes what it takes."""
    event_log: str = field(init=False, metadata=STRING)
    """The event log that takes the stream over (`model.registry.records.LogOwner`), JSON."""
    feedback_ids: str = field(init=False, metadata=ZSET)
    """Sorted set of event ids taken in lately, scored by the server's clock in Unix ms."""
    erasures: str = field(init=False, metadata=HASH)
    """Hash of erasure id -> record (`model.registry.erasures`) of a user to be forgotten, JSON."""
    erasures_revision: str = field(init=False, metadata=COUNTER)
    """Counter (`model.registry.revisions`) that every erasure raises in the same step."""
    erasures_log: str = field(init=False, metadata=STREAM)
    """Stream of the hashes of the users who were erased lately; the id of each begins with its
    revision."""
    erasures_by_user: str = field(init=False, metadata=HASH)
    """Hash of user hash -> erasure id of their latest record in `erasures`."""
    user_hash_key: str = field(init=False, metadata=STRING)
    """32 random bytes: the key of the hashes that stand for users in logs and in `erasures`."""
    rewrites: str = field(init=False, metadata=COUNTER)
    """Counter (`model.registry.revisions`) that training raises after it has taken users out of
    stored versions."""

    def __post_init__(self) -> None:
        check_name(self.namespace, "namespace")
        for each in fields(self):
            if not each.init:
                object.__setattr__(self, each.name, f"mg:{{{self.namespace}}}:{each.name}")

    @property
    def types(self) -> dict[str, str]:
        """What each key holds: a type of Redis, or `counter`."""
        return {
            getattr(self, each.name): each.metadata["type"]
            for each in fields(self)
            if each.metadata
        }

    @property
    def pointers(self) -> tuple[str, str, str, str]:
        """The keys that name a version in a role."""
        return self.current, self.previous, self.pinned, self.canary

    @property
    def watched(self) -> tuple[str, ...]:
        """The keys that decide a change of the versions (`model.registry.state`)."""
        return *self.pointers, self.versions

    def experiment(self, version: str, started_at: datetime) -> tuple[str, str, str]:
        """What a canary that began then is counted in (`model.registry.experiment`); all expire.

        A hash of counts; a hash of users, hashed, and what they have done; a sorted set of lists
        with a response, hashed, scored by the server's clock in Unix ms.
        """
        milliseconds = round(started_at.timestamp() * 1000)
        name = f"{check_name(version, 'model version')}:{milliseconds}"
        counts = f"mg:{{{self.namespace}}}:experiment:{name}"
        return counts, f"{counts}:users", f"{counts}:lists"

    def live(self, user_id: str) -> str:
        """Sorted set of what a user has done lately, `<type> <item>`, by Unix ms; it expires."""
        return f"mg:{self.namespace}:live:{user_id}"

    def manifest(self, version: str) -> str:
        """The JSON manifest of one version, written after everything that it names."""
        return f"mg:{self.namespace}:v:{check_name(version, 'model version')}:manifest"

    def chunk(self, version: str, blob: str, index: int) -> str:
        """The `index`-th chunk of the tensor or file named `blob`."""
        return f"mg:{self.namespace}:v:{check_name(version, 'model version')}:{blob}:{index}"

    @property
    def every_version_pattern(self) -> str:
        """SCAN pattern that matches every key of every version."""
        return f"mg:{self.namespace}:v:*"

    def version_of(self, key: str) -> str:
        """The version that a key found by `every_version_pattern` belongs to."""
        return key.removeprefix(f"mg:{self.namespace}:v:").partition(":")[0]
