"""The same by somebody who has met its two slow parts: whole chunks to sseclient, JSON to the file.

python -m benchmarks.peers.second_attempt URL FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests
from benchmarks.peers.mapping import document_of
from sseclient import SSEClient


def main(url: str, path: Path) -> None:
    """Follow a URL into a file until the stream ends."""
    response = requests.get(url, stream=True, timeout=600)
    path.write_text("{}\n")
    for event in SSEClient(response.iter_content(None)).events():
        if event.event == "machines-snapshot":
            path.write_text(json.dumps(document_of(json.loads(event.data)), indent=2))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
