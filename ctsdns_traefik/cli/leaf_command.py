"""What every command of the two programs has in common."""

from __future__ import annotations

from typing import Any

import click

from ctsdns_traefik.errors import CtsdnsError, internal_error


class LeafCommand(click.Command):
    """A command that does something itself, and whose errors are explained where they arise."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raise :class:`CtsdnsError` for an :class:`OSError` without explanation.

        Outside of a command that would be one of standard output.
        """
        try:
            return super().invoke(ctx)
        except OSError as defect:
            raise CtsdnsError(internal_error(defect)) from defect
