"""The page of a hub: its view of the present state, and the script that refreshes it."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from ctsdns_traefik.core.dynamic import Document
from ctsdns_traefik.core.page import STYLE, Fact, Row, View, page_to_html, rows_of
from ctsdns_traefik.core.status import Health, Status, time_to_text
from ctsdns_traefik.server.handover import Handover

_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; script-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy: this style, scripts of this server, and nothing else."""

SCRIPT = """"use strict";
// Replace the page's content when it has changed; keep the focus and what is scrolled.
const seconds = 5;
async function refresh() {
  const status = document.querySelector("[role=status]");
  try {
    const answer = await fetch(location.pathname, { cache: "no-cache" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = document.querySelector("main"), next = fresh.querySelector("main");
    if (main.innerHTML === next.innerHTML) return;
    const spots = "main [tabindex]";
    const focused = [...document.querySelectorAll(spots)].indexOf(document.activeElement);
    main.replaceChildren(...next.childNodes);
    if (focused >= 0) document.querySelectorAll(spots)[focused]?.focus({ preventScroll: true });
  } catch {
    const lost = "this page is old: watch does not answer";
    if (status && status.textContent !== lost) {
      status.textContent = lost;
      status.classList.add("bad");
    }
  }
}
setInterval(() => document.hidden || refresh(), seconds * 1000);
"""


class Page:
    """Renders the present state; the rows of a document, which may be many, are made once."""

    def __init__(self, script: str) -> None:
        """Take the path of its script."""
        self._script = script
        self._made: tuple[Document, list[Row]] = {}, []

    def render(self, handover: Handover, health: Health) -> bytes:
        """Return the page as HTML in UTF-8."""
        document, status = handover.state.document or {}, handover.status
        if document is not self._made[0]:
            self._made = document, rows_of(document)
        verdict = status.traefik and status.traefik.verdict
        view = View(
            "ctsdns-traefik",
            self._made[1],
            facts=tuple(_facts(status)),
            state="healthy" if health.well else health.why,
            well=health.well,
            diagnostics=status.refused,
            objections={each.router: each.message for each in verdict.errors} if verdict else {},
            script=self._script,
        )
        return page_to_html(view).encode("utf-8", "replace")


def _facts(status: Status) -> list[Fact]:
    facts = [
        Fact("Source", f"{status.endpoint} ({status.state})"),
        Fact("Output", status.output),
        Fact("Last trusted snapshot", _time(status.last_snapshot)),
        Fact("Last change", _time(status.last_write)),
        Fact("Traefik", _traefik(status)),
    ]
    if status.access:
        facts.append(Fact("Access file", status.access.path))
    if status.pending_removal:
        removal = status.pending_removal
        held = f"{len(removal.removed)} of {removal.routes} routes, until the next snapshot agrees"
        facts.append(Fact("Held removal", held))
    if status.last_error:
        error = status.last_error
        facts.append(Fact("Last error", f"{_time(error.time)}: {error.message}"))
    return [*facts, Fact("Version", status.version)]


def _time(seconds: float | None) -> str:
    return "none yet" if seconds is None else time_to_text(seconds)[:19].replace("T", " ")


def _traefik(status: Status) -> str:
    """Return what Traefik's API last showed."""
    answer = status.traefik
    if answer is None:
        return "not asked (--traefik-api)"
    if answer.verdict is None:
        return answer.error.message if answer.error else "no answer"
    verdict = answer.verdict
    parts = [f"{verdict.loaded} of {verdict.routers} routes served"]
    counts = (
        ("missing", verdict.missing),
        ("lingering", verdict.lingering),
        ("disabled", verdict.errors),
    )
    parts += [f"{len(each)} {name}" for name, each in counts if each]
    return ", ".join(parts)
