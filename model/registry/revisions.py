"""Revisions: counters in Redis by which readers know how far they have followed.

A counter rises by a random step. So a number stands for all that had changed by then: a primary
that takes over without the latest changes goes on to other numbers, and whoever has read a change
that is lost finds neither its revision in force nor in the log.
"""

import secrets

_MOST = 2**20
"""So long a step two primaries share with a probability of 1e-6. Ten billion steps fit into the
integers that Lua and JSON keep exactly."""

RAISE = """
local function raise(revision, step, log)
  if redis.call('EXISTS', revision) == 0 then
    local now = redis.call('TIME')
    redis.call('SET', revision, string.format('%.0f', now[1] * 1e6 + now[2]))
    if log then redis.call('UNLINK', log) end
  end
  return redis.call('INCRBY', revision, step)
end
"""
"""A function for scripts: the revision of a change. It begins with the server's time in
microseconds, so that a server that was emptied has none that is known."""


def draw_step() -> int:
    """The random amount by which the next change raises a revision."""
    return 1 + secrets.randbelow(_MOST)
