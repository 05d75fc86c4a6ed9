"""A page and a picture of routes, as text: HTML and SVG that need nothing from elsewhere."""

from __future__ import annotations

from ctsdns_traefik.core.page.html import Fact, View, page_to_html
from ctsdns_traefik.core.page.picture import picture_to_svg
from ctsdns_traefik.core.page.rows import Row, rows_of
from ctsdns_traefik.core.page.style import STYLE

__all__ = ["STYLE", "Fact", "Row", "View", "page_to_html", "picture_to_svg", "rows_of"]
