"""Signals, and when they raise."""

from __future__ import annotations

import signal

import pytest
from support.scripts import output_of, script

from ctsdns_traefik import signals as interrupts

TERMINATE_AND_INTERRUPT = [
    pytest.param(signal.SIGTERM, 0, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
]
ENDLESS_CALLS = [
    pytest.param("time.sleep(60)", id="in-a-call-that-is-taken-up-again"),
    pytest.param(
        "import ctypes; lock = ctypes.create_string_buffer(256); c = ctypes.CDLL(None);"
        "c.pthread_mutex_init(lock, None); c.pthread_mutex_lock(lock); c.pthread_mutex_lock(lock)",
        id="in-a-call-that-no-signal-interrupts",
    ),
]


@pytest.mark.parametrize(("number", "code"), TERMINATE_AND_INTERRUPT)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param("time.sleep(60)", id="sleeping"),
        pytest.param("os.read(os.pipe()[0], 1)", id="reading"),
    ],
)
def test_stop_ends_a_blocking_call_while_armed(
    number: signal.Signals, code: int, call: str
) -> None:
    """A stop signal raises in the middle of a call that would go on for long."""
    text = f"""
        try:
            with Interrupts().armed():
                say("ready")
                try:
                    {call}
                except Exception:
                    say("swallowed")
        except Stop as stop:
            say(stop.signal.name, int(stop.exit_code))
    """
    with script(text) as process:
        process.send_signal(number)
        assert process.communicate(timeout=30)[0] == f"{number.name} {code}\n"


def test_hangup_ends_a_blocking_call_while_armed() -> None:
    """SIGHUP raises in the middle of a call, and again after arming again."""
    text = """
        interrupts = Interrupts()
        for word in ("ready", "again"):
            try:
                with interrupts.armed():
                    say(word)
                    time.sleep(60)
            except Reconnect:
                say("reconnect")
    """
    with script(text) as process:
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline() == "reconnect\n"
        assert process.stdout.readline() == "again\n"
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=30)[0] == "reconnect\n"


@pytest.mark.parametrize(
    ("numbers", "raised"),
    [
        pytest.param(["SIGTERM"], "Stop(15)", id="stop"),
        pytest.param(["SIGHUP"], "Reconnect()", id="hangup"),
        pytest.param(["SIGHUP", "SIGTERM"], "Stop(15)", id="stop-outranks-hangup"),
        pytest.param(["SIGINT", "SIGHUP"], "Stop(2)", id="stop-outranks-a-later-hangup"),
    ],
)
def test_signal_before_arming_waits_for_it(numbers: list[str], raised: str) -> None:
    """What comes while nothing is armed raises nothing then, and at once on arming."""
    sends = "; ".join(f"send(signal.{number})" for number in numbers)
    text = f"""
        interrupts = Interrupts()
        {sends}
        say("calm")
        try:
            with interrupts.armed():
                say("never")
        except BaseException as why:
            say(repr(why))
    """
    assert output_of(text) == ["calm", raised]


def test_signal_while_held_waits_for_the_end_of_it() -> None:
    """What comes inside held() lets it finish, and raises directly after it."""
    text = """
        interrupts = Interrupts()
        try:
            with interrupts.armed():
                with interrupts.held():
                    send(signal.SIGTERM)
                    say("finished")
                say("never")
        except Stop:
            say("stopped")
    """
    assert output_of(text) == ["finished", "stopped"]


def test_held_arms_again_also_after_an_error() -> None:
    """After an error inside held() signals raise as before."""
    text = """
        interrupts = Interrupts()
        try:
            with interrupts.armed():
                try:
                    with interrupts.held():
                        raise OSError
                except OSError:
                    say("error")
                send(signal.SIGTERM)
                say("never")
        except Stop:
            say("stopped")
    """
    assert output_of(text) == ["error", "stopped"]


def test_held_outside_armed_arms_nothing() -> None:
    """Where nothing is armed held() changes nothing: signals keep waiting during and after it."""
    text = """
        interrupts = Interrupts()
        try:
            with interrupts.held():
                send(signal.SIGHUP)
            say("after")
            send(signal.SIGHUP)
            say("calm")
        except Reconnect:
            say("raised")
    """
    assert output_of(text) == ["after", "calm"]


def test_second_hangup_does_not_disturb_the_handling_of_the_first() -> None:
    """Once it has raised nothing is armed, so that the next signal waits its turn."""
    text = """
        interrupts = Interrupts()
        for _ in range(2):
            try:
                with interrupts.armed():
                    send(signal.SIGHUP)
                    say("never")
            except Reconnect:
                send(signal.SIGHUP)
                say("handled")
    """
    assert output_of(text) == ["handled", "handled"]


@pytest.mark.parametrize(("number", "raised"), [("SIGTERM", "Stop(15)"), ("SIGHUP", "Reconnect()")])
def test_signal_amid_a_callback_is_not_lost(number: str, raised: str) -> None:
    """What Python drops, because it was raised in a finalizer, is raised again outside it."""
    text = f"""
        class Finalized:
            def __del__(self):
                send(signal.{number})
                for _ in range(1000):
                    pass
                say("never")
        interrupts = Interrupts()
        try:
            with interrupts.armed():
                Finalized()
                time.sleep(60)
        except BaseException as why:
            say(repr(why))
    """
    assert output_of(text) == [raised]


def test_nothing_is_armed_after_the_context() -> None:
    """Outside armed() signals raise nothing."""
    text = """
        interrupts = Interrupts()
        with interrupts.armed():
            pass
        send(signal.SIGTERM)
        send(signal.SIGHUP)
        say("calm")
    """
    assert output_of(text) == ["calm"]


@pytest.mark.parametrize(("number", "code"), TERMINATE_AND_INTERRUPT)
@pytest.mark.parametrize("call", ENDLESS_CALLS)
def test_watchdog_ends_a_process_that_is_stuck(
    number: signal.Signals, code: int, call: str
) -> None:
    """A process that lets no handler raise ends all the same, with the signal's exit code."""
    text = f"""
        interrupts = Interrupts()
        with interrupts.armed(), interrupts.held():
            say("ready")
            {call}
    """
    with script(text) as process:
        process.send_signal(number)
        assert process.wait(timeout=30) == code


def test_watchdog_has_less_than_a_second_of_patience() -> None:
    """A stop takes effect within a second, so the watchdog waits for less."""
    assert 0 < interrupts.PATIENCE < 1


def test_watchdog_does_not_heed_a_hangup() -> None:
    """SIGHUP ends no process, however long nothing handles it."""
    text = """
        interrupts = Interrupts()
        with interrupts.armed():
            try:
                with interrupts.held():
                    send(signal.SIGHUP)
                    time.sleep(PATIENCE + 0.5)
                    say("alive")
            except Reconnect:
                say("reconnect")
    """
    assert output_of(text) == ["alive", "reconnect"]


def test_signals_come_to_the_thread_that_they_have_to_interrupt() -> None:
    """A signal goes to the main thread alone: taken by another it would end no blocking call."""
    text = """
        interrupts = Interrupts()
        try:
            with interrupts.armed():
                for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
                    send(number)
                    say(number.name, number in signal.sigpending())
                time.sleep(0.1)
                say("calm")
        except BaseException as why:
            say(repr(why))
        os._exit(0)
    """
    assert output_of(text) == ["SIGHUP True", "SIGTERM True", "SIGINT True", "calm"]


def test_many_hangups_in_quick_succession() -> None:
    """However close they follow each other, all that comes of them is Reconnect, until a stop."""
    text = """
        interrupts = Interrupts()
        say("ready")
        while True:
            try:
                with interrupts.armed():
                    time.sleep(60)
            except Reconnect:
                say("reconnect")
            except Stop:
                say("stopped")
                break
    """
    with script(text) as process:
        for _ in range(200):
            process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline() == "reconnect\n"
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[0]
    assert (set(said.splitlines()) - {"reconnect", "stopped"}, process.returncode) == (set(), 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_postponed_signals_act_afterwards(number: signal.Signals) -> None:
    """A signal that ends a process does so when the context has cleaned up, not before."""
    text = """
        from ctsdns_traefik.signals import postponed
        sys.stderr.close()
        with postponed() as came:
            say("ready")
            while not came:
                time.sleep(0.01)
            say("clean", came)
        say("never")
    """
    with script(text) as process:
        process.send_signal(number)
        assert process.communicate(timeout=30)[0] == f"clean [{number}]\n"
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
            with postponed() as came:
                say([old is new for old, new in zip(before, handlers())], came)
        before = handlers()
        look()
        say(handlers() == before)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    """
    assert output_of(text) == [
        "[False, False, True, False] []",
        "True",
        "[True, True, True, True] []",
    ]


def test_holding_in_another_thread_does_nothing() -> None:
    """What another thread holds keeps no signal from the main thread, and raises nothing itself."""
    text = """
        import threading
        interrupts, go = Interrupts(), threading.Event()

        def hold():
            with interrupts.held():
                go.wait()
            say("unharmed")

        thread = threading.Thread(target=hold)
        try:
            with interrupts.armed():
                thread.start()
                send(signal.SIGHUP)
                time.sleep(60)
        except Reconnect:
            say("reconnect")
        go.set()
        thread.join()
    """
    assert output_of(text) == ["reconnect", "unharmed"]
