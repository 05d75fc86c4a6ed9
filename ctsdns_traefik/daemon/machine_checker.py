"""The machine checker: publishes which entries lead to machines that are not there."""

from __future__ import annotations

import time
from collections.abc import Callable

from ctsdns_traefik.core.policy import HostsMap
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.daemon.event_publisher import Publish
from ctsdns_traefik.daemon.events import MachinesChecked
from ctsdns_traefik.source import MachineList


class MachineChecker:
    """Checks the entries of the newest policy against Tailscale's newest list of machines."""

    def __init__(self, publish: Publish, clock: Callable[[], float] = time.time) -> None:
        self._publish, self._clock = publish, clock
        self.hosts: HostsMap = {}
        """Those of the newest policy."""
        self._problems: tuple[Diagnostic, ...] = ()
        """Those of the last list that could be read."""

    def check(self, listed: MachineList) -> None:
        """Publish the problems, or why there is no list."""
        from ctsdns_traefik.core.entries import read_hosts
        from ctsdns_traefik.core.machines import check_machines

        if not listed.error:
            entries = read_hosts(self.hosts).entries
            self._problems = check_machines(entries, listed.machines, self._clock())
        self._publish(MachinesChecked(self._problems, listed.error))
