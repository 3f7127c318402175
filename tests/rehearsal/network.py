"""A bridge on which every container has an address, and a name server that knows them.

Uses iproute2 and dnsmasq. All of it is in a network namespace of its own and disappears with it;
this machine's network is left alone.
"""

import os
import signal
import subprocess
from pathlib import Path

from deploy.local.processes import Child

GATEWAY = "10.213.0.1"
_NETWORK, _FIRST = "10.213.0", 2
_BRIDGE = "magnet0"


class Network:
    """All addresses of one composition."""

    def __init__(self, folder: Path) -> None:
        """Make the bridge; the empty `folder` keeps /etc/hosts of the containers and so on."""
        self._names: dict[str, list[str]] = {}
        self._made = 0
        self._directory = folder / "names"
        self._directory.touch()
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {GATEWAY}\n")
        self.hosts = folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n")
        self._server: Child | None = None
        self._log = folder / "dnsmasq.log"
        _ip("link", "set", "lo", "up")
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("address", "add", f"{GATEWAY}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")

    def name_server(self) -> Child:
        """The name server, to be started (and stopped) as a context."""
        command = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--pid-file="]
        command += ["--user=root", "--bind-interfaces", f"--listen-address={GATEWAY}"]
        # A name without a dot is one of ours or none, as an engine's own name server has it.
        command += ["--local=//", f"--addn-hosts={self._directory}", "--local-ttl=1"]
        self._server = Child("the name server", command, log=self._log)
        return self._server

    def attach(self) -> tuple[str, str]:
        """A new namespace with an address: its name for `ip netns`, and the address."""
        self._made += 1
        name, address = f"magnet{self._made}", f"{_NETWORK}.{self._made + _FIRST}"
        _ip("netns", "add", name)
        _ip(
            "link",
            "add",
            f"port{self._made}",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            name,
        )
        _ip("link", "set", f"port{self._made}", "master", _BRIDGE, "up")
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", name, "route", "add", "default", "via", GATEWAY)
        return name, address

    def announce(self, name: str, address: str) -> None:
        """From now on `name` leads to `address`, besides others."""
        self._names.setdefault(name, []).append(address)
        self._publish()

    def withdraw(self, name: str, address: str) -> None:
        """`name` leads there no longer."""
        self._names[name].remove(address)
        self._publish()

    def _publish(self) -> None:
        assert self._server is not None
        lines = [f"{each} {name}\n" for name, found in self._names.items() for each in found]
        self._directory.write_text("".join(lines))
        os.kill(self._server.pid, signal.SIGHUP)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
