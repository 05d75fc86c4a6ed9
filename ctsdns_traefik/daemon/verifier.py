"""The verifier: checks by Traefik's API whether Traefik serves what was written.

It does so in a thread of its own, since Traefik takes its time (its throttle, thousands of routers)
and must not delay the loop. There is one slot for a document to verify: a newer one takes the place
of an older one, even while that is being verified. The thread ends with the process, which never
waits for it.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from ctsdns_traefik.cancellation import start_thread
from ctsdns_traefik.core.dynamic import Document, RouterKey, Verdict, judge, kinds_of, routers_of
from ctsdns_traefik.daemon.event_publisher import Publish
from ctsdns_traefik.daemon.events import TraefikAnswered, TraefikNotAnswering
from ctsdns_traefik.errors import internal_error
from ctsdns_traefik.traefik import ApiError, TraefikApi


class Patience(NamedTuple):
    """How long to wait before a result is final, in seconds."""

    loading: float = 30.0
    """For Traefik to load a document: its throttle, 2 s unless set, and its own time."""
    per_router: float = 0.004
    """More for each router: ten times what Traefik was seen to need."""
    objections: float = 3.0
    """Before objections are believed: they may be about the former document."""
    failures: float = 5.0
    """Before an API that gives no answer is reported: Traefik may be starting."""
    first_pause: float = 0.1
    longest_pause: float = 2.0


class _Task(NamedTuple):
    document: Document
    began: float
    recheck: bool = False
    """Whether the first answer is final: Traefik has had its time for this document before."""


class Verifier:
    """Verifies each document with one Traefik; see :class:`.reconciler.DocumentVerifier`.

    ``publish`` is called in the verifier's own thread; ``provider`` is Traefik's name for where it
    reads the document.
    """

    def __init__(
        self,
        api: TraefikApi,
        publish: Publish,
        provider: str = "file",
        patience: Patience | None = None,
    ) -> None:
        self._api = api
        self._publish = publish
        self._provider = provider
        self._patience = patience or Patience()
        self._slot: _Task | None = None
        self._latest: _Task | None = None
        self._good = True
        self._is_up = True
        """Whether Traefik has answered since its API was asked last in vain."""
        self._busy = False
        self._changed = threading.Condition()
        self._known: set[RouterKey] = set()
        """Routers that Traefik may still have."""

    def start(self) -> None:
        """Start the thread."""
        start_thread("verifier", self._run)

    def verify(self, document: Document) -> None:
        """Verify a document, in place of any earlier one."""
        self._put(_Task(document, time.monotonic()))

    def verify_again(self, *, written: bool) -> None:
        """Verify the last document again if it was written again, or the result was not good."""
        with self._changed:
            latest, busy = self._latest, self._busy or self._slot is not None
        if latest and (written or not (self._good or busy)):
            self._put(latest._replace(began=time.monotonic(), recheck=not written))

    def _put(self, task: _Task) -> None:
        with self._changed:
            self._slot = self._latest = task
            self._changed.notify()

    def _run(self) -> None:
        # A signal must interrupt the main thread's waiting, so no other thread may receive it.
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slot is not None)
                task, self._slot, self._busy = self._slot, None, True
            if task:
                self._complete(task)
            self._busy = False

    def _complete(self, task: _Task) -> None:
        """Read the API until the result is final, or another task has come."""
        try:
            wanted = set(routers_of(task.document))
            self._known |= wanted
            pause = self._patience.first_pause
            while not self._check(task, wanted):
                with self._changed:
                    if self._changed.wait_for(lambda: self._slot is not None, pause):
                        return
                pause = min(2 * pause, self._patience.longest_pause)
        except Exception as defect:  # noqa: BLE001  (nothing may end the thread)
            self._good = False
            self._publish(TraefikNotAnswering(internal_error(defect)))

    def _check(self, task: _Task, wanted: set[RouterKey]) -> bool:
        """Read the API once; return whether the result is final, which then is published."""
        gone = self._known - wanted
        document, patience = task.document, self._patience
        waited = time.monotonic() - task.began
        try:
            kinds = kinds_of(document, gone) or ("http/routers",)
            listed = {kind: self._api.read(kind, self._provider) for kind in kinds}
        except ApiError as why:
            self._is_up = False
            if waited < patience.failures:
                return False
            self._good = False
            self._publish(TraefikNotAnswering(f"{self._api}: {why}"))
            return True
        verdict = judge(document, listed, gone, self._provider)
        seconds = time.monotonic() - task.began
        if self._slot is not None:  # the answer may be about the newer document already
            return True
        if not ((task.recheck and self._is_up) or self._is_final(verdict, waited)):
            return False
        self._is_up = True
        self._good = verdict.good
        if verdict.settled:
            self._known = wanted
        self._publish(TraefikAnswered(verdict, seconds))
        return True

    def _is_final(self, verdict: Verdict, waited: float) -> bool:
        if verdict.good:
            return True
        if verdict.settled:
            return waited >= self._patience.objections
        return waited >= self._patience.loading + self._patience.per_router * verdict.routers
