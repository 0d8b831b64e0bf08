"""Processes of a search begin and end quietly."""

import signal

from functions.train.search.processes import Limit, Processes


def blocked(_task: int) -> bool:
    """Whether this process was started with Ctrl-C blocked."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def dies(_task: int) -> bool:
    signal.raise_signal(signal.SIGKILL)
    return False


def test_ctrl_c_never_reaches_a_process_that_still_imports() -> None:
    """A terminal sends it to all; one that has no handler yet would print a traceback beside the parent's sentence."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    processes = Processes(1, int)
    try:
        assert list(processes.results(blocked, [0], None)) == [(0, True)]
        lost = Limit[int, bool](lambda _task: 60.0, lambda _task, _seconds, _late: False)
        assert list(processes.results(dies, [0], lost)) == [(0, False)]
        assert list(processes.results(blocked, [0], None)) == [(0, True)], "nor one that stands in for another"
    finally:
        processes.close()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
