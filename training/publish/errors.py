"""Everything that can go wrong while publishing, in words that say what to do.

Knows redis-py's exceptions, so that no caller has to; never repeats a password.

    PublishError
    |-- DamagedArtifactError    the folder is not a whole artifact
    |-- ServerAwayError         nobody answers, or the connection broke
    |-- AccessDeniedError       wrong or missing password, or a right is missing
    |-- OutOfMemoryError        the server's maxmemory is reached
    |-- LockHeldError           somebody else is publishing, or retraining
    |-- LockLostError           we were too slow: the lock went to somebody else
    |-- UnknownVersionError     the namespace holds no such version
    |-- VersionTakenError       the version exists with other content
    `-- DamagedCopyError        what the server gives back is not what was written
"""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.exceptions import RedisClusterException

from training.explained import ExplainedError

FAULTS = (redis.RedisError, RedisClusterException)
"""Whatever redis-py raises; not all of it is a RedisError."""


class PublishError(ExplainedError):
    """Publishing failed; the live version is what it was unless the message says otherwise."""


class DamagedArtifactError(PublishError):
    """The folder is not a whole artifact."""


class ServerAwayError(PublishError):
    """Nobody answers at the server's address, or the connection broke."""


class AccessDeniedError(PublishError):
    """The server refuses the password, or a right that publishing needs."""


class OutOfMemoryError(PublishError):
    """The server has reached its maxmemory."""


class LockHeldError(PublishError):
    """Somebody else is publishing to this namespace, or retraining for it."""


class LockLostError(PublishError):
    """The lock ran out or was taken over; this publisher may change nothing any more."""


class UnknownVersionError(PublishError):
    """There is no such version to activate or to go back to."""


class VersionTakenError(PublishError):
    """The version exists with other content; versions never change."""


class DamagedCopyError(PublishError):
    """The stored copy of a version is incomplete or differs from its manifest."""


@contextmanager
def explaining(address: str) -> Iterator[None]:
    """Turn redis-py's errors into PublishErrors that name the server at `address`."""
    try:
        yield
    except redis.AuthenticationError as error:
        raise AccessDeniedError(
            f"Redis at {address} refuses the user or password; "
            "put the right ones into the URL: redis://user:password@host:port"
        ) from error
    except redis.exceptions.NoPermissionError as error:
        raise AccessDeniedError(
            f"Redis at {address} does not give this user a right that publishing needs: "
            f"{_reason(error)}"
        ) from error
    except redis.exceptions.ReadOnlyError as error:
        raise AccessDeniedError(
            f"Redis at {address} is a read-only replica; publish to its primary"
        ) from error
    except redis.exceptions.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"Redis at {address} is out of memory, nothing was changed; "
            "raise its maxmemory, or keep fewer versions"
        ) from error
    except (redis.ConnectionError, redis.TimeoutError, RedisClusterException) as error:
        raise ServerAwayError(
            f"Redis at {address} does not answer ({_reason(error)}); "
            "check that it runs and can be reached, then try again: repeating is safe"
        ) from error
    except redis.RedisError as error:
        raise PublishError(f"Redis at {address} refused to publish: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The server's own words: redis-py puts the command, with its binary data, before them."""
    return str(error).rpartition(" caused error: ")[2].rstrip(".") or type(error).__name__
