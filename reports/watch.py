"""The pages of a study while its runs are written: served on the loopback address, made anew with every record."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

from reports.pages import INDEX, build_pages
from reports.pages.networks import NETWORK_NAME
from reports.pages.template import render
from reports.records import RECORD_NAME, load_study

LOOPBACK = "127.0.0.1"
Signature = frozenset[tuple[Path, int, int]]


@dataclass(frozen=True)
class View:
    """What the server shows: replaced as a whole, never changed.

    Attributes:
        pages: HTML by path.
        version: how many views there were before.
        problem: why the newest records are not among them; empty if they are.
        signature: the records, and the networks beside them, that were looked at.
    """

    pages: dict[str, str]
    version: int = 0
    problem: str = ""
    signature: Signature = field(default=frozenset())


class Watcher:
    """The current view of the records below some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self.view = View({INDEX: _waiting(f"No run records ({RECORD_NAME}) yet.")})
        self.refresh()

    def refresh(self) -> bool:
        """Look at the records again; return whether there is a new view.

        Records that cannot be shown leave the pages as they were, and the view says why.
        """
        signature = self._signature()
        if signature == self.view.signature:
            return False
        pages, problem = self.view.pages, ""
        try:
            pages = build_pages(load_study(*self._filled()), self.folders[0], live=True)
        except (ValueError, OSError) as error:
            problem = str(error)
            pages = pages if len(pages) > 1 else {INDEX: _waiting(problem)}
        self.view = View(pages, self.view.version + 1, problem, signature)
        return True

    def _signature(self) -> Signature:
        records = [path for folder in self.folders for path in folder.rglob(RECORD_NAME)]
        found = set()
        for path in (*records, *(path.with_name(NETWORK_NAME) for path in records)):
            with suppress(FileNotFoundError):  # a run that was removed meanwhile, or one without a network
                stat = path.stat()
                found.add((path, stat.st_mtime_ns, stat.st_size))
        return frozenset(found)

    def _filled(self) -> list[Path]:
        """Return the folders that have a record; the others may get one."""
        return [folder for folder in self.folders if next(folder.rglob(RECORD_NAME), None)]


def watch(
    folders: Sequence[Path], port: int, on_start: Callable[[str], None], stop: Event | None = None, seconds: float = 1
) -> None:
    """Serve the pages until `stop` is set or the process is interrupted, looking at the records every few seconds.

    Args:
        folders: folders below which records lie or will lie.
        port: port of the loopback address; 0: any that is free.
        on_start: gets the address once pages are served.
        stop: ends the server when set.
        seconds: how long to wait between two looks.

    Raises:
        OSError: the port is taken.
    """
    watcher, stop = Watcher(folders), stop or Event()
    with ThreadingHTTPServer((LOOPBACK, port), _handler(watcher)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        on_start(f"http://{LOOPBACK}:{server.server_port}/")
        try:
            while not stop.wait(seconds):
                watcher.refresh()
        finally:
            server.shutdown()
            thread.join()


def _handler(watcher: Watcher) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers for pages and for the state, and for nothing else: no file is ever read for a request."""

        def do_GET(self) -> None:
            view, path = watcher.view, unquote(urlsplit(self.path).path).lstrip("/") or INDEX
            if self.headers.get("Host", "").partition(":")[0] not in (LOOPBACK, "localhost"):
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", "only for this machine")
            elif path == "state":
                state = {"version": view.version, "problem": view.problem}
                self._answer(HTTPStatus.OK, "application/json", json.dumps(state))
            elif path in view.pages:
                self._answer(HTTPStatus.OK, "text/html", view.pages[path])
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "no such page")

        def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": f"{kind}; charset=utf-8",
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    return Handler


def _waiting(message: str) -> str:
    return render("waiting.html", message=message, live=True)
