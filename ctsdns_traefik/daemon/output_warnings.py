"""What a target has to say beside its writes: in words, once until it is gone and comes again."""

from __future__ import annotations

import logging

from ctsdns_traefik.logs import as_event
from ctsdns_traefik.output import OutputWarning

log = logging.getLogger(__name__)

WORDS = {
    "notifications-off": "Traefik is not notified of changes: keyspace notifications are off;"
    " switch them on with 'CONFIG SET notify-keyspace-events Kh', and in redis.conf",
    "notifications-excessive": "Traefik reads everything anew for each of {} keys when it changes:"
    " have it notified once a change, with 'notify-keyspace-events Kh' (see docs/scaling.md)",
    "disagreement": "another watch has published something else, again and again{}: do both"
    " follow the same endpoint, with the same access file and version?",
    "foreign": "what stood there was not written by ctsdns-traefik, and is replaced: it held {}",
    "no-lock": "no lock can be held beside it, so that another watch on it would not be kept from"
    " starting: {}",
    "taken-over": "keys stood there that nobody is known to have written; they are replaced: {}",
}
"""By the kind of a notice, which is its event in a log in JSON, too."""


def words_of(notice: OutputWarning) -> str:
    """Return a notice in words."""
    return WORDS[notice.kind].format(notice.detail)


class OutputWarnings:
    """Remembers what it has said last."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._said: tuple[OutputWarning, ...] = ()

    def tell(self, target: object, notices: tuple[OutputWarning, ...]) -> None:
        """Log what was not among the notices before."""
        for notice in notices:
            if notice not in self._said:
                words = words_of(notice)
                log.warning("%s: %s", target, words, extra=as_event(notice.kind, output=target))
        self._said = notices
