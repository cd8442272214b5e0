"""Progress: plain lines where stderr is no terminal, a bar where it is one."""

import re

import pytest

from hwsim.cli.progress import progress
from hwsim.cli.train import Bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, as the only element of a list."""
    now = [100.0]
    monkeypatch.setattr("hwsim.cli.progress.time.monotonic", lambda: now[0])
    return now


def test_lines_tell_rate_and_time_left_but_not_too_often(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("training", 10, "epochs") as advance:
        for done in range(1, 11):
            clock[0] += 2
            advance(done, f"loss {1 / done:.2f}")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "training: 3/10 epochs, 0.5 epochs/s, 14 s left, loss 0.33",
        "training: 6/10 epochs, 0.5 epochs/s, 8 s left, loss 0.17",
        "training: 9/10 epochs, 0.5 epochs/s, 2 s left, loss 0.11",
        "training: 10/10 epochs, 0.5 epochs/s, loss 0.10",
    ]


def test_rate_leaves_out_the_start_and_what_was_done_before(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """A run continued after 90 of 100 epochs: not 91 epochs in the first 20 seconds, nor 10 s an epoch for ever."""
    with progress("training", 100, "epochs") as advance:
        clock[0] += 20
        advance(91, "")
        clock[0] += 5
        advance(92, "")
    assert capsys.readouterr().err.splitlines() == [
        "training: 91/100 epochs",
        "training: 92/100 epochs, 0.2 epochs/s, 40 s left",
    ]


def test_the_end_is_told_even_if_nothing_else_is(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("simulating", 451, "images") as advance:
        advance(451, "")
    assert capsys.readouterr().err == "simulating: 451/451 images\n"
    with progress("simulating", 451, "images") as advance:
        advance(51, "")
        clock[0] += 0.03
        advance(451, "")
    assert capsys.readouterr().err == "simulating: 451/451 images, 13333 images/s\n"


def test_nothing_done_is_nothing_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("training", 10, "epochs"):
        pass
    assert capsys.readouterr() == ("", "")


def test_work_that_stands_still_has_no_rate(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("training", 10, "epochs") as advance:
        for _ in range(3):
            clock[0] += 6
            advance(1, "")
    assert capsys.readouterr().err.splitlines() == ["training: 1/10 epochs"] * 3


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 80 columns, with a title and a note as training has them: nothing that counts is pushed out."""
    for name, value in {"COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("hwsim.cli.progress.sys.stderr.isatty", lambda: True)
    with progress("uniform-w4a4-s0", 40, "epochs") as advance:
        for done in range(37, 41):
            advance(done, f"loss {done}, test 100.00%")
    out, err = capsys.readouterr()
    assert out == ""
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    assert all(text in shown for text in ("uniform-w4a4-s0", "40/40", "epochs/s", "loss 40", "test 100.00%"))
    assert err.rstrip().endswith("\x1b[2K")  # the bar leaves an empty line


def test_a_terminal_that_cannot_redraw_gets_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("hwsim.cli.progress.sys.stderr.isatty", lambda: True)
    with progress("simulating", 451, "images") as advance:
        advance(451, "")
    assert capsys.readouterr().err == "simulating: 451/451 images\n"


def test_training_shows_steps_with_the_metrics_of_the_last_epoch() -> None:
    shown: list[tuple[float, str]] = []
    bar = Bar(lambda done, note: shown.append((done, note)))
    bar.step(2 / 3, False)
    bar.step(1.0, True)
    bar.update(1, 2, {"loss": 0.25, "test_accuracy": 0.9})
    bar.step(4 / 3, False)
    bar.update(2, 2, {"loss": 0.125, "test_accuracy": 0.925})
    notes = ["loss 0.250, test 90.00%", "loss 0.125, test 92.50%"]
    assert shown == [(0.667, ""), (1, notes[0]), (1.333, notes[0]), (2, notes[1])]
