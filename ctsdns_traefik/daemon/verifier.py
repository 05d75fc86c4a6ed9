"""The inquiry: whether Traefik serves what was written, found out beside the loop.

A thread of its own asks Traefik's API, since Traefik takes its time (its throttle, thousands of
routers) and the loop has none to lose. It has one slot for questions: a newer document takes the
place of an older one, also amid the waiting for that. It ends with the process, which never waits
for it.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import NamedTuple

from ctsdns_traefik.core.dynamic import Document, RouterKey, Verdict, judge, kinds_of, routers_of
from ctsdns_traefik.daemon.events import Journal
from ctsdns_traefik.traefik import ApiError, TraefikApi


class Patience(NamedTuple):
    """How long to wait for what, in seconds."""

    loading: float = 30.0
    """For Traefik to load a document: its throttle, 2 s unless set, and its own time."""
    per_router: float = 0.004
    """More for each router: ten times what Traefik was seen to need."""
    objections: float = 3.0
    """Before objections are believed: the former document's may still stand there."""
    failures: float = 5.0
    """Before an API that gives no answer is reported: Traefik may be starting."""
    first_pause: float = 0.1
    longest_pause: float = 2.0


class _Question(NamedTuple):
    document: Document
    asked: float
    again: bool = False
    """Whether it only looks whether things are better by now."""


class Verifier:
    """Asks one Traefik about each document; see :class:`.keeper.Traefik`."""

    def __init__(
        self,
        api: TraefikApi,
        journal: Journal,
        provider: str = "file",
        patience: Patience | None = None,
    ) -> None:
        """Take whom to ask, who is told the answers, and what Traefik calls our document's place.

        The journal is told from the inquiry's own thread.
        """
        self._api = api
        self._journal = journal
        self._provider = provider
        self._patience = patience or Patience()
        self._slot: _Question | None = None
        self._latest: _Question | None = None
        self._good = True
        self._asking = False
        self._came = threading.Condition()
        self._known: set[RouterKey] = set()
        """Routers that Traefik may still have."""

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="inquiry", daemon=True).start()

    def ask(self, document: Document) -> None:
        """Find out about a document, which from now on is the one that counts."""
        self._put(_Question(document, time.monotonic()))

    def ask_again(self, *, written: bool) -> None:
        """Find out about it again if it has been written again, or what was found was not good."""
        with self._came:
            latest, busy = self._latest, self._asking or self._slot is not None
        if latest and (written or not (self._good or busy)):
            self._put(latest._replace(asked=time.monotonic(), again=not written))

    def _put(self, question: _Question) -> None:
        with self._came:
            self._slot = self._latest = question
            self._came.notify()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            with self._came:
                self._came.wait_for(lambda: self._slot is not None)
                question, self._slot, self._asking = self._slot, None, True
            if question:
                self._settle(question)
            self._asking = False

    def _settle(self, question: _Question) -> None:
        """Ask until the answer is final, or another question has come."""
        try:
            wanted = set(routers_of(question.document))
            self._known |= wanted
            pause = self._patience.first_pause
            while not self._look(question, wanted):
                with self._came:
                    if self._came.wait_for(lambda: self._slot is not None, pause):
                        return
                pause = min(2 * pause, self._patience.longest_pause)
        except Exception as defect:  # noqa: BLE001  (nothing may end the thread)
            self._good = False
            self._journal.traefik_unanswered(f"internal error, please report it: {defect!r}")

    def _look(self, question: _Question, wanted: set[RouterKey]) -> bool:
        """Ask once; tell whether the answer is final, which then has been told."""
        gone = self._known - wanted
        document, patience = question.document, self._patience
        waited = time.monotonic() - question.asked
        try:
            kinds = kinds_of(document, gone) or ("http/routers",)
            listed = {kind: self._api.read(kind, self._provider) for kind in kinds}
        except ApiError as why:
            if waited < patience.failures and not question.again:
                return False
            self._good = False
            self._journal.traefik_unanswered(f"{self._api}: {why}")
            return True
        verdict = judge(document, listed, gone, self._provider)
        seconds = time.monotonic() - question.asked
        if not (question.again or self._is_final(verdict, waited)):
            return False
        self._good = verdict.good
        if verdict.settled:
            self._known = wanted
        self._journal.traefik_answered(verdict, seconds)
        return True

    def _is_final(self, verdict: Verdict, waited: float) -> bool:
        """Tell whether there is nothing left to wait for."""
        if verdict.good:
            return True
        if verdict.settled:
            return waited >= self._patience.objections
        return waited >= self._patience.loading + self._patience.per_router * verdict.routers
