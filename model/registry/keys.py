"""Redis key names of one namespace: the live pointer, coordination keys and versioned chunks.

Coordination keys share the hash tag `{namespace}`, so that one MULTI may touch them on a cluster.
Chunks carry no tag, so a cluster spreads them over its nodes.
"""

import re
from dataclasses import dataclass

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
    """Every key of one namespace, `mg:<namespace>:...`."""

    namespace: str = "default"

    def __post_init__(self) -> None:
        check_name(self.namespace, "namespace")

    @property
    def current(self) -> str:
        """The pointer: its value is the live model version."""
        return f"mg:{{{self.namespace}}}:current"

    @property
    def previous(self) -> str:
        """The version that was live before the last publish."""
        return f"mg:{{{self.namespace}}}:previous"

    @property
    def versions(self) -> str:
        """Sorted set of complete versions, scored by publish time in Unix seconds."""
        return f"mg:{{{self.namespace}}}:versions"

    @property
    def lock(self) -> str:
        """The publisher's lock; its value is the holder's fencing token."""
        return f"mg:{{{self.namespace}}}:lock"

    @property
    def retrain_lock(self) -> str:
        """The lock of the one retraining that may run; its value is the holder's fencing token."""
        return f"mg:{{{self.namespace}}}:retrain_lock"

    @property
    def fence(self) -> str:
        """Counter from which fencing tokens are drawn."""
        return f"mg:{{{self.namespace}}}:fence"

    @property
    def events(self) -> str:
        """Pub/sub channel that announces a change of versions (a hint: replicas poll too)."""
        return f"mg:{{{self.namespace}}}:events"

    @property
    def pinned(self) -> str:
        """The version that stays live whatever is published; absent while none is pinned."""
        return f"mg:{{{self.namespace}}}:pinned"

    @property
    def canary(self) -> str:
        """The latest canary, JSON (`model.registry.canary`); it stays when the canary has ended."""
        return f"mg:{{{self.namespace}}}:canary"

    @property
    def canary_answers(self) -> str:
        """Hash of version -> how many answers it has given as a canary, over all replicas."""
        return f"mg:{{{self.namespace}}}:canary_answers"

    @property
    def pointers(self) -> tuple[str, str, str, str]:
        """The keys that name a version in a role."""
        return self.current, self.previous, self.pinned, self.canary

    @property
    def watched(self) -> tuple[str, ...]:
        """The keys that decide a change of the versions (`model.registry.state`)."""
        return *self.pointers, self.versions

    @property
    def runs(self) -> str:
        """The record of the latest retraining, JSON."""
        return f"mg:{{{self.namespace}}}:runs"

    @property
    def unavailable(self) -> str:
        """Set of the ids of items that no answer may show."""
        return f"mg:{{{self.namespace}}}:unavailable"

    @property
    def availability_revision(self) -> str:
        """Counter that every change of `unavailable` raises in the same step."""
        return f"mg:{{{self.namespace}}}:availability_revision"

    @property
    def feedback(self) -> str:
        """Stream of events that training has not taken over; training deletes what it takes."""
        return f"mg:{{{self.namespace}}}:feedback"

    @property
    def feedback_ids(self) -> str:
        """Sorted set of event ids taken in lately, scored by the server's clock in Unix ms."""
        return f"mg:{{{self.namespace}}}:feedback_ids"

    def recent(self, user_id: str) -> str:
        """Sorted set of the items that a user has just seen, scored by Unix ms; it expires."""
        return f"mg:{self.namespace}:recent:{user_id}"

    def manifest(self, version: str) -> str:
        """The JSON manifest of one version, written after everything that it names."""
        return f"mg:{self.namespace}:v:{check_name(version, 'model version')}:manifest"

    def chunk(self, version: str, blob: str, index: int) -> str:
        """The `index`-th chunk of the tensor or file named `blob`."""
        return f"mg:{self.namespace}:v:{check_name(version, 'model version')}:{blob}:{index}"

    def version_pattern(self, version: str) -> str:
        """SCAN pattern that matches every key of one version."""
        return f"mg:{self.namespace}:v:{check_name(version, 'model version')}:*"

    @property
    def every_version_pattern(self) -> str:
        """SCAN pattern that matches every key of every version."""
        return f"mg:{self.namespace}:v:*"

    def version_of(self, key: str) -> str:
        """The version that a key found by `every_version_pattern` belongs to."""
        return key.removeprefix(f"mg:{self.namespace}:v:").partition(":")[0]
