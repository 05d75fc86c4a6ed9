"""The style of the page and the picture, in light and dark; both carry it with them."""

from __future__ import annotations

COLOURS = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #ffffff; --ink: #1d2430;
  --soft: #566072; --line: #d9d5cb; --accent: #17607a; --good: #1c6b3f; --bad: #a3271f;
  --mark: #ffe0db; --edge: #7d97a8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181f; --card: #1b212b; --ink: #e7e9ee; --soft: #a5afc0; --line: #343d4c;
    --accent: #7cc7e0; --good: #7fd3a0; --bad: #ff9d93; --mark: #5b2320; --edge: #5f7d92; }
}
"""

_PICTURE = """
.picture { font: 13px system-ui, sans-serif; }
.picture text { fill: var(--ink); dominant-baseline: middle; }
.picture .paper { fill: var(--paper); }
.picture .head { fill: var(--soft); font-size: 11px; letter-spacing: .06em; }
.picture .node { fill: var(--card); stroke: var(--line); }
.picture .entrypoint { stroke: var(--accent); stroke-width: 1.5; }
.picture .edge { fill: none; stroke: var(--edge); stroke-width: 1.3; }
.picture .restricted { stroke-dasharray: 5 3; }
"""

PICTURE_STYLE = COLOURS + _PICTURE

STYLE = (
    PICTURE_STYLE
    + """
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.5rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
h2 small, h3 small { font-weight: normal; color: var(--soft); font-size: .875rem; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
a { color: var(--accent); }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .25rem .5rem; }
.state { margin: .5rem 0 0; padding: .5rem .75rem; border-left: 4px solid var(--good);
  background: var(--card); overflow-wrap: anywhere; }
.state.bad { border-color: var(--bad); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr));
  gap: .75rem 1.5rem; margin: 1.25rem 0 0; }
.facts dt { color: var(--soft); font-size: .8125rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem; }
.scroll svg { display: block; width: 100%; min-width: 38rem; height: auto; }
table { width: 100%; table-layout: fixed; border-collapse: collapse; background: var(--card);
  border: 1px solid var(--line); }
th, td { text-align: left; vertical-align: top; padding: .45rem .75rem;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { border: 0; color: var(--soft); font-size: .8125rem; font-weight: normal; }
tbody th { font-weight: 600; }
th:nth-child(n+3) { width: 26%; }
th:nth-child(4) { width: 14%; }
td small { color: var(--soft); display: block; font-size: .8125rem; }
.objection { color: var(--bad); display: block; font-weight: normal; }
.problem { background: var(--card); border: 1px solid var(--line);
  border-left: 4px solid var(--bad); padding: .6rem .9rem; margin: .75rem 0; }
.problem.warning { border-left-color: var(--soft); }
.problem p { margin: .25rem 0; overflow-wrap: anywhere; }
.problem pre { margin: .25rem 0; white-space: pre; overflow-x: auto; }
.problem pre span { color: var(--bad); }
mark { background: var(--mark); color: inherit; }
footer { color: var(--soft); font-size: .875rem; padding-top: 2rem; padding-bottom: 2rem; }
@media (max-width: 46rem) {
  table, tbody, tr, td, tbody th { display: block; width: 100%; }
  thead { display: block; position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  th, td { border: 0; padding: .1rem .75rem; }
  tr { border-top: 1px solid var(--line); padding: .5rem 0; }
}
"""
)
