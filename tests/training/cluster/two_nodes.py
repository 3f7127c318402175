"""A Ray cluster of two nodes with one processor each, on this machine; a process of its own.

It writes the address. At a line `kill` it kills the second node, at `add` it adds another one, each
answered by a line. It ends, and all of its processes, when its input does.
"""

import os
import socket
import sys

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}

from ray.cluster_utils import Cluster

LOST_AFTER = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}
PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)


def small() -> dict[str, object]:
    """Of a node. Ports are given: for its helpers to choose some, it waits for 15 s at most."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    free = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    size = {"num_cpus": 1, "object_store_memory": 200_000_000, "include_dashboard": False}
    return {**size, **dict(zip(PORTS, free, strict=True))}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


cluster = Cluster(initialize_head=True, head_node_args={**small(), "_system_config": LOST_AFTER})
try:
    second = cluster.add_node(**small())
    cluster.wait_for_nodes()
    say(cluster.address)
    for line in sys.stdin:
        if line == "kill\n":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**small())
            cluster.wait_for_nodes()
        say("done")
finally:
    cluster.shutdown()
