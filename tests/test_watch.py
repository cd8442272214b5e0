"""The pages of a study while it grows, over the loopback address."""

import http.client
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_records import record, save
from watched import watched

from reports.watch import Watcher


@pytest.fixture
def server(tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    """Return a connection to a server of an empty folder."""
    with watched(tmp_path) as address:
        host, port = address.removeprefix("http://").rstrip("/").split(":")
        assert host == "127.0.0.1"
        yield http.client.HTTPConnection(host, int(port))


def get(server: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, str]:
    server.request("GET", path, headers=headers)
    answer = server.getresponse()
    return answer.status, answer.read().decode()


def wait_for(server: http.client.HTTPConnection, path: str, text: str) -> str:
    """Return the answer as soon as it holds the text."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = get(server, path)[1]
        if text in answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"{path} does not come to hold {text!r}: {answer}")


def test_pages_follow_the_records(server: http.client.HTTPConnection, tmp_path: Path) -> None:
    assert "No run records (record.json) yet." in get(server, "/")[1]
    assert json.loads(get(server, "/state")[1]) == {"version": 0, "problem": ""}
    path = save(tmp_path, record("pot", 4, 0))
    assert "connect-src 'self'" in wait_for(server, "/index.html", "pot-w4a4")
    assert get(server, "/designs/pot-w4a4.html")[0] == 200
    assert "record.json" not in get(server, "/designs/pot-w4a4.html")[1]  # the server has no records to link to
    save(tmp_path, record("pot", 4, 1))
    wait_for(server, "/", "Study demo, 2 runs")
    before = json.loads(get(server, "/state")[1])
    path.write_text("{")
    state = json.loads(wait_for(server, "/state", "pot-w4a4-s0/record.json is no run record"))
    assert state["version"] > before["version"]
    assert "Study demo, 2 runs" in get(server, "/")[1]


@pytest.mark.parametrize(
    "path", ["/record.json", "/../record.json", "/%2e%2e/etc/passwd", "/designs/", "/designs/x.html"]
)
def test_nothing_else_is_served(server: http.client.HTTPConnection, path: str) -> None:
    assert get(server, path) == (404, "no such page")


def test_only_this_machine_is_answered(server: http.client.HTTPConnection) -> None:
    """A page elsewhere whose name is made to point here asks with its own name."""
    assert get(server, "/", Host="elsewhere.example:80") == (403, "only for this machine")
    assert get(server, "/", Host="localhost:1")[0] == 200


def test_a_network_that_comes_or_changes_later_is_looked_at(tmp_path: Path, tiny_study: Path) -> None:
    shutil.copytree(tiny_study, tmp_path / "runs")
    network = next((tmp_path / "runs").glob("*post*/network.safetensors"))
    content = network.read_bytes()
    network.unlink()
    watcher = Watcher([tmp_path / "runs"])
    page = "designs/post-w3a3.html"
    assert "Weight codes" not in watcher.view.pages[page]
    network.write_bytes(content)
    assert watcher.refresh()
    assert "Weight codes" in watcher.view.pages[page]
    network.write_bytes(content[:100])
    assert watcher.refresh()
    assert "network.safetensors" in watcher.view.problem
    assert not watcher.refresh()


def test_a_damaged_first_record_is_told_and_mended(tmp_path: Path) -> None:
    path = save(tmp_path, record("pot", 4, 0))
    whole = path.read_text()
    path.write_text("{}")
    watcher = Watcher([tmp_path])
    assert "schema must be 1" in watcher.view.problem
    assert "schema must be 1" in watcher.view.pages["index.html"]
    assert not watcher.refresh()
    path.write_text(whole)
    assert watcher.refresh()
    assert watcher.view.problem == ""
    assert set(watcher.view.pages) == {"index.html", "designs/pot-w4a4.html"}
