"""Runs training commands in children that SIGKILL themselves before a chosen step.

Reads JSON lines `{"step": n, "arguments": [...]}` and answers each with `{"status": ..., "steps":
[...]}`: the exit status (minus the signal's number if killed) and the names of the steps passed.
A step is whatever changes a file's name or makes it durable, and every command to Redis. Children
are forked from a process that has imported everything but used nothing, which takes no time.
"""

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import redis

from deploy.cli.app import main

FILE_STEPS = [(os, "fsync"), (shutil, "rmtree")]
FILE_STEPS += [(Path, name) for name in ("replace", "rename", "mkdir", "unlink", "rmdir")]


class Countdown:
    """Notes every step by name, and ends the process before the chosen one."""

    def __init__(self, step: int, trace: int) -> None:
        self.left, self.trace = step, trace

    def pass_(self, name: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # the lock's renewal comes at any time
        os.write(self.trace, f"{name}\n".encode())
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: object, name: str) -> None:
        inner = getattr(owner, name)

        def wrapped(*arguments, **settings):
            self.pass_(name)
            return inner(*arguments, **settings)

        setattr(owner, name, wrapped)


def armed(step: int, trace: int) -> None:
    countdown = Countdown(step, trace)
    for owner, name in FILE_STEPS:
        countdown.watch(owner, name)
    countdown.watch(redis.connection.Connection, "send_packed_command")


def run(step: int, arguments: list[str], trace: int) -> None:
    quiet = os.open(os.devnull if "KILL_POINTS_LOG" not in os.environ else "/dev/stderr", os.O_RDWR)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    armed(step, trace)
    status = 99
    try:
        status = main(arguments)
    finally:
        os._exit(status)


for line in sys.stdin:
    request = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        run(request["step"], request["arguments"], write)
    os.close(write)
    with os.fdopen(read) as trace:
        steps = trace.read().split()
    _, status = os.waitpid(child, 0)
    answer = {"status": os.waitstatus_to_exitcode(status), "steps": steps}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
