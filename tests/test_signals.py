"""Signals: what they cancel, and when the process is ended from outside the main thread."""

from __future__ import annotations

import signal

import pytest
from support.scripts import output_of, script

from ctsdns_traefik.signals import OUTPUT_GRACE, PATIENCE, REPORTING

TERMINATE_AND_INTERRUPT = [
    pytest.param(signal.SIGTERM, 0, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
]


@pytest.mark.parametrize(("number", "code"), TERMINATE_AND_INTERRUPT)
def test_stop_ends_a_pause(number: signal.Signals, code: int) -> None:
    """A stop ends a pause, and is raised where the main thread looks, with its exit code."""
    text = """
        signals = Signals()
        say("ready")
        try:
            signals.sleep(60)
        except Stop as stop:
            say(stop.signal.name, int(stop.exit_code), signals.stops())
    """
    with script(text) as process:
        process.send_signal(number)
        assert process.communicate(timeout=60)[0] == f"{number.name} {code} True\n"


def test_first_stop_counts() -> None:
    """A second stop of another kind changes nothing about the exit code."""
    text = """
        signals = Signals()
        send(signal.SIGINT)
        signals.stopping.pause(60)
        send(signal.SIGTERM)
        try:
            signals.check()
        except Stop as stop:
            say(stop.signal.name)
    """
    assert output_of(text) == ["SIGINT"]


def test_signals_for_other_programs_do_nothing() -> None:
    """One who has Traefik reopen its log by ``pkill -USR1 traefik`` does not end watch."""
    text = """
        signals = Signals()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            with signals.attempt() as attempt:
                send(number)
                attempt.pause(0.1)
            say(attempt.cancelled, signals.stops(), signals.take_hangup())
    """
    assert output_of(text) == ["False False False"] * 2


def test_hangup_ends_an_attempt_and_no_more() -> None:
    """SIGHUP cancels the work that stands for one connection; the next begins as ever."""
    text = """
        signals = Signals()
        say("ready")
        for seconds in (60, 0.01):
            with signals.attempt() as attempt:
                attempt.pause(seconds)
            say(attempt.cancelled, signals.take_hangup(), signals.take_hangup())
        say(signals.stops(), signals.stopping.cancelled)
    """
    with script(text) as process:
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=60)[0].splitlines() == [
            "True True False",
            "False False False",
            "False False",
        ]


@pytest.mark.parametrize(
    ("numbers", "outcome"),
    [
        pytest.param(["SIGTERM"], "15", id="stop"),
        pytest.param(["SIGHUP"], "hangup", id="hangup"),
        pytest.param(["SIGHUP", "SIGTERM"], "15", id="stop-outranks-hangup"),
        pytest.param(["SIGINT", "SIGHUP"], "2", id="stop-outranks-a-later-hangup"),
    ],
)
def test_signal_before_an_attempt_cancels_it(numbers: list[str], outcome: str) -> None:
    """What comes between two attempts is not lost."""
    sends = "; ".join(f"send(signal.{number})" for number in numbers)
    text = f"""
        signals = Signals()
        {sends}
        deadline = time.monotonic() + 10
        while not (signals.stops() or signals._hung_up) and time.monotonic() < deadline:
            time.sleep(0.001)
        with signals.attempt() as attempt:
            attempt.pause(60)
        try:
            signals.check()
            say("hangup" if signals.take_hangup() else "nothing")
        except Stop as stop:
            say(int(stop.signal))
    """
    assert output_of(text) == [outcome]


def test_no_signal_raises() -> None:
    """However many come, the main thread computes on, and locks as it likes."""
    text = """
        signals = Signals()
        lock, total = threading.Lock(), 0
        for number in range(2000):
            send(signal.SIGHUP)
            with lock:
                total += number
        say(total)
        send(signal.SIGTERM)
        for _ in range(1000):
            with lock:
                total += 1
        say(total)
        signals.stopping.pause(10)
        say(signals.stops())
    """
    assert output_of(text) == ["1999000", "2000000", "True"]


def test_output_has_a_moment_more() -> None:
    """What writes over the network is cancelled after the rest, but before a forced end."""
    text = """
        module.OUTPUT_GRACE = 2.0
        signals = Signals()
        send(signal.SIGTERM)
        signals.stopping.pause(60)
        say(signals.output.cancelled)
        signals.output.pause(60)
        say(signals.output.cancelled)
    """
    assert output_of(text) == ["False", "True"]
    assert 0 < OUTPUT_GRACE < PATIENCE


ENDLESS_CALLS = [
    pytest.param("time.sleep(60)", id="in-a-call-that-is-taken-up-again"),
    pytest.param("while True: pass", id="computing"),
    pytest.param(
        "import ctypes; lock = ctypes.create_string_buffer(256); c = ctypes.CDLL(None);"
        "c.pthread_mutex_init(lock, None); c.pthread_mutex_lock(lock); c.pthread_mutex_lock(lock)",
        id="in-a-call-that-no-signal-interrupts",
    ),
]


@pytest.mark.parametrize(("number", "code"), TERMINATE_AND_INTERRUPT)
@pytest.mark.parametrize("call", ENDLESS_CALLS)
def test_process_that_hangs_is_ended(number: signal.Signals, code: int, call: str) -> None:
    """It ends all the same, with the signal's exit code, after its last act and a report."""
    text = f"""
        signals = Signals(last_act=lambda: say("last act"))
        signals.report_forced_end(lambda stop: say("report", stop.signal.name))
        say("ready")
        {call}
    """
    with script(text, PATIENCE) as process:
        process.send_signal(number)
        logged = process.communicate(timeout=60)[0]
    assert (logged, process.returncode) == (f"last act\nreport {number.name}\n", code)


def test_report_that_hangs_is_left() -> None:
    """Neither a last act that fails nor a report that never ends keeps the process alive."""
    text = """
        def fail():
            raise OSError
        signals = Signals(last_act=fail)
        signals.report_forced_end(lambda _: time.sleep(60))
        say("ready")
        time.sleep(60)
    """
    with script(text, PATIENCE) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_forced_end_comes_within_a_second() -> None:
    """A stop takes effect within a second, reports included."""
    assert 0 < PATIENCE + REPORTING < 1


def test_hangup_ends_no_process() -> None:
    """However long nothing handles a SIGHUP, the process goes on."""
    text = """
        signals = Signals()
        with signals.attempt() as attempt:
            send(signal.SIGHUP)
            attempt.pause(60)
        time.sleep(module.PATIENCE + 0.5)
        say("alive")
    """
    assert output_of(text, PATIENCE) == ["alive"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_postponed_signals_act_afterwards(number: signal.Signals) -> None:
    """A signal that ends a process does so when the context has cleaned up, not before."""
    text = """
        from ctsdns_traefik.signals import postponed
        sys.stderr.close()
        with postponed() as stops:
            say("ready")
            while not stops():
                time.sleep(0.01)
            say("clean")
        say("never")
    """
    with script(text) as process:
        process.send_signal(number)
        assert process.communicate(timeout=60)[0] == "clean\n"
        assert process.returncode == -number


def test_nothing_is_postponed_for_others() -> None:
    """Handlers are as they were afterwards; the ignored stay ignored, and threads cannot wait."""
    text = """
        import threading
        from ctsdns_traefik.signals import postponed
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        def handlers():
            return [signal.getsignal(number) for number in numbers]
        def look():
            with postponed() as stops:
                say([old is new for old, new in zip(before, handlers())], stops())
        before = handlers()
        look()
        say(handlers() == before)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    """
    assert output_of(text) == [
        "[False, False, True, False] False",
        "True",
        "[True, True, True, True] False",
    ]
