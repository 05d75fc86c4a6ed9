"""A Mosquitto broker behind the tunnel's Traefik: MQTT over WebSockets, for real, end to end."""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from local import free_ports, running, until
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from support.commands import Watch
from support.composed import TUNNEL, ComposedTraefik
from support.worker import StandInWorker

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
MOSQUITTO = shutil.which("mosquitto", path=PATH) or ""
PASSWORDS = shutil.which("mosquitto_passwd", path=PATH) or ""
pytestmark = pytest.mark.skipif(
    not (MOSQUITTO and PASSWORDS), reason="Debian's mosquitto is not installed"
)

NAME, BROKER = "mqtt.example.com", "127.0.0.1"
ENTRY = f"_web_http_9001._tcp.{NAME}"


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """Run Mosquitto with the example's file, apart from where it listens and its password file."""
    native, port = free_ports(2)
    passwords = folder / "passwords"
    for options in (["-c", str(passwords), "alice"], [str(passwords), "bob"]):
        command = [PASSWORDS, "-b", *options, "secret"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    text = (TUNNEL / "mosquitto.conf").read_text()
    for old, new in (
        ("\nlistener 1883 ", f"\nlistener {native} "),
        ("\nlistener 9001\n", f"\nlistener {port} lo\n"),
        ("\npassword_file /etc/mosquitto/passwd\n", f"\npassword_file {passwords}\n"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    configuration = folder / "mosquitto.conf"
    configuration.write_text(f"{text}user root\n")  # as whom the tests' files can be read
    with running([MOSQUITTO, "-c", str(configuration)], folder / "mosquitto.log"):
        until(lambda: _listens(port), f"no broker: {configuration}")
        yield port


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((BROKER, port), timeout=1):
        return True
    return False


@contextmanager
def client(port: int, name: str, password: str) -> Iterator[tuple[Client, queue.Queue[str]]]:
    """Connect over WebSockets to a port, by the public name; give what it has heard of, too.

    Without a name it connects as nobody in particular.
    """
    received: queue.Queue[str] = queue.Queue()
    made = Client(CallbackAPIVersion.VERSION2, transport="websockets")
    if name:
        made.username_pw_set(name, password)
    made.ws_set_options(path="/mqtt", headers={"Host": NAME})
    made.on_connect = lambda _client, _data, _flags, code, _properties: received.put(str(code))
    made.on_subscribe = lambda *_: received.put("subscribed")

    def keep(_client: Client, _data: object, message: MQTTMessage) -> None:
        received.put(f"{message.topic}: {message.payload.decode()}")

    made.on_message = keep
    made.connect("127.0.0.1", port)
    made.loop_start()
    try:
        yield made, received
    finally:
        made.disconnect()
        made.loop_stop()


def test_message_through_everything(tmp_path: Path) -> None:
    """An entry publishes the broker's listener: one client's message comes to another's ears."""
    policy = tmp_path / "policy.hujson"
    (tmp_path / "broker").mkdir()
    with broker(tmp_path / "broker") as port, ComposedTraefik(tmp_path, TUNNEL) as traefik:
        entry = ENTRY.replace("_9001.", f"_{port}.")
        policy.write_text(json.dumps({"hosts": {entry: BROKER}}))
        with StandInWorker(policy, 0.1) as worker:
            dynamic = traefik.routes / "dynamic.yml"
            access = {"TRAEFIK_ACCESS_FILE": str(TUNNEL / "access" / "access.yml")}
            with Watch(worker.endpoint, dynamic, environment=access) as watch:
                watch.until(lambda: "router-mqtt-example-com" in traefik.routers(), "no route")
        web = traefik.ports["web"]
        with client(web, "alice", "secret") as (alice, to_alice):
            assert to_alice.get(timeout=60) == "Success"
            alice.subscribe("house/door")
            assert to_alice.get(timeout=60) == "subscribed"
            with client(web, "bob", "secret") as (bob, to_bob):
                assert to_bob.get(timeout=60) == "Success"
                bob.publish("house/door", "open").wait_for_publish(timeout=60)
                assert to_alice.get(timeout=60) == "house/door: open"
        with client(web, "", "") as (_, to_nobody):
            assert to_nobody.get(timeout=60) == "Not authorized"
