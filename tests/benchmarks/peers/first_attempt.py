"""What one would first write: sseclient on the response, ruamel.yaml to the file.

python -m benchmarks.peers.first_attempt URL FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests
from benchmarks.peers.mapping import document_of
from ruamel.yaml import YAML
from sseclient import SSEClient


def main(url: str, path: Path) -> None:
    """Follow a URL into a file until the stream ends."""
    response = requests.get(url, stream=True, timeout=600)
    path.write_text("{}\n")
    for event in SSEClient(response).events():  # type: ignore[arg-type]
        if event.event == "machines-snapshot":
            with path.open("w") as file:
                YAML().dump(document_of(json.loads(event.data)), file)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
