"""The counts of an experiment, which all replicas add to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, get_args

from model.registry.canary import Canary
from model.registry.experiment import Experiment
from model.registry.records import Variant
from service.store.foreign import checked, or_else
from service.store.store import RedisStore

KEEP_SECONDS = 30 * 24 * 3600
"""How long counts stay after the last one."""
LIST_SECONDS = 24 * 3600
"""How long a list with a response is remembered: a later one counts again."""
MOST_USERS = 500_000
"""Users of one experiment: some 40 MB of Redis. Beyond that no further user is counted."""
AT_ONCE = 100
"""Users or responses in one call of the script: a millisecond or two of the server."""

_COUNT = (
    checked("string", "hash", "hash", "zset")
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {} end
local counts, users, lists = KEYS[2], KEYS[3], KEYS[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if redis.call('HGET', counts, 'share') ~= ARGV[2] then
  redis.call('UNLINK', counts, users, lists)
  redis.call('HSET', counts, 'share', ARGV[2], 'champion_version', ARGV[3], 'since_ms', now)
end
local more = {}
local function add(variant, what, number)
  local name = variant .. ':' .. what
  more[name] = (more[name] or 0) + number
end
local size, most, shown = redis.call('HLEN', users), tonumber(ARGV[4]), 8 + 3 * ARGV[7]
for place = 8, shown - 1, 3 do
  local user, variant = ARGV[place], ARGV[place + 1]
  local known = redis.call('HEXISTS', users, user) == 1
  if not known and size < most then
    redis.call('HSET', users, user, 0)
    size, known = size + 1, true
    add(variant, 'users', 1)
  end
  if known then
    add(variant, 'lists', ARGV[place + 2])
  else
    redis.call('HSET', counts, 'full', 1)
  end
end
local told = {}
local function of_list(member, variant, what)
  if redis.call('ZADD', lists, 'NX', now, member) == 1 then
    add(variant, 'lists_' .. what, 1)
    table.insert(told, variant)
    table.insert(told, what)
  end
end
for place = shown, #ARGV, 4 do
  local user, variant, list = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  local done, does = tonumber(redis.call('HGET', users, user)), tonumber(ARGV[place + 3])
  if done then
    if done < 1 then add(variant, 'users_clicked', 1) end
    if does > 1 and done < 2 then add(variant, 'users_purchased', 1) end
    if does > done then redis.call('HSET', users, user, does) end
    of_list(list, variant, 'clicked')
    if does > 1 then of_list('p' .. list, variant, 'purchased') end
  end
end
for name, number in pairs(more) do redis.call('HINCRBY', counts, name, number) end
redis.call('ZREMRANGEBYSCORE', lists, '-inf', now - 1000 * ARGV[6])
for _, key in ipairs({counts, users, lists}) do redis.call('EXPIRE', key, ARGV[5]) end
return told
"""
)
"""Adds lists and responses, if the canary is still what the caller takes it for. A new share begins
a new count. The hash of users holds what each has done: 0 nothing, 1 a click, 2 a purchase, which
is a click too. A response counts only if its user has been shown a list. A member that begins with
p is a list with a purchase. Returns variant and response of every list that has its first."""

Kind = Literal["clicked", "purchased"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A user's click on an item of a list, or a purchase of it."""

    user_id: str
    list_id: bytes
    """Of the list that showed the item; 8 bytes, which no other list has."""
    kind: Kind


class Experiments:
    """The experiments of one namespace. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore, most_users: int = MOST_USERS) -> None:
        self._store = store
        self._most_users = most_users

    async def count(
        self,
        canary: Canary,
        champion_version: str,
        lists: Mapping[str, int],
        responses: Sequence[Response] = (),
    ) -> list[tuple[Variant, Kind]]:
        """Add to the counts, unless the canary has ended or got another share.

        Args:
            canary: the running one; it says of which variant a user is.
            champion_version: the version beside it.
            lists: by user, how many they were shown.
            responses: what users did; those of users who were shown nothing do not count.

        Returns:
            Variant and response of every list that has the response for the first time.
        """
        told: list[tuple[Variant, Kind]] = []
        left, also = iter(lists.items()), iter(responses)
        while (some := list(islice(left, AT_ONCE))) or (done := list(islice(also, AT_ONCE))):
            told += await self._count(canary, champion_version, some, [] if some else done)
        return told

    async def read(self, canary: Canary) -> Experiment:
        """What has been counted."""
        counts, _, _ = self._store.keys.experiment(canary.version, canary.started_at)
        client: Any = self._store.client
        with self._store.answering():
            return Experiment.of(await or_else(client.hgetall(counts), counts, None))

    async def _count(
        self,
        canary: Canary,
        champion_version: str,
        users: Sequence[tuple[str, int]],
        responses: Sequence[Response],
    ) -> Iterator[tuple[Variant, Kind]]:
        keys = (
            self._store.keys.canary,
            *self._store.keys.experiment(canary.version, canary.started_at),
        )
        arguments: list[str | bytes | float] = [canary.model_dump_json(), canary.share]
        arguments += [champion_version, self._most_users, KEEP_SECONDS, LIST_SECONDS, len(users)]
        for user_id, number in users:
            arguments += [canary.draw(user_id), canary.variant_of(user_id), number]
        for each in responses:
            variant, does = canary.variant_of(each.user_id), 1 + _KINDS.index(each.kind)
            arguments += [canary.draw(each.user_id), variant, each.list_id, does]
        with self._store.answering():
            told = await self._store.client.eval(_COUNT, len(keys), *keys, *arguments)
        words = [word.decode() for word in told]
        return zip(words[::2], words[1::2], strict=True)


_KINDS: tuple[Kind, ...] = get_args(Kind)
