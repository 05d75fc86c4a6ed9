"""A real Traefik that shows a certificate, as the example for clients without SNI has it."""

from __future__ import annotations

from pathlib import Path

from local import write_static_configuration
from ruamel.yaml import YAML
from support.traefik import Traefik

CERTIFICATES = Path(__file__).parents[2] / "examples" / "sni-clients" / "certificates.yml"


class CertifiedTraefik(Traefik):
    """Traefik with the example's certificate, and time-outs shorter than its default.

    The dynamic file must have a folder of its own.
    """

    def __init__(self, folder: Path, dynamic: Path, certificate: tuple[Path, Path]) -> None:
        super().__init__(folder, dynamic)
        text = CERTIFICATES.read_text()
        for suffix, path in zip(("pem", "key"), certificate, strict=True):
            example = f"/etc/traefik/certificates/example.com.{suffix}"
            assert text.count(example) == 1
            text = text.replace(example, str(path))
        (dynamic.parent / "certificates.yml").write_text(text)

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = write_static_configuration(path, self._dynamic)
        yaml = YAML()
        static = yaml.load(path)
        static["providers"]["file"] = {"directory": str(self._dynamic.parent)}
        timeouts = dict.fromkeys(("readTimeout", "writeTimeout", "idleTimeout"), "1500ms")
        static["entryPoints"]["tcp"]["transport"] = {"respondingTimeouts": timeouts}
        yaml.dump(static, path)
        return ports
