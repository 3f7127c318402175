"""What stands for users in logs: hashes whose key is not in the logs."""

import secrets

from model.registry.erasures import hashed
from service.ops.paths import unmarked

KEY_BYTES = 32
_USERS = "/v1/users/"
_BELOW = ("/recommendations", "/explanations")


class Pseudonyms:
    """One per process. All replicas of a namespace come to share a key, which is kept in Redis.

    Until that is read, and without Redis, the key is random.
    """

    def __init__(self) -> None:
        self.key = secrets.token_bytes(KEY_BYTES)

    def of(self, user_id: str) -> str:
        """What stands for a user."""
        return hashed(user_id, self.key)

    def of_path(self, path: str) -> str:
        """A path of a request as it may be logged: a line, with a hash for the user's id.

        Whatever follows the users' part is taken for an id, also where there is no such route.
        """
        if not path.startswith(_USERS):
            return path
        user_id = path.removeprefix(_USERS)
        below = next((end for end in _BELOW if user_id.endswith(end)), "")
        return f"{_USERS}{self.of(unmarked(user_id.removesuffix(below)))}{below}"
