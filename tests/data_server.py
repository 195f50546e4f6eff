"""A local HTTP server of files that can behave badly, for tests of downloads."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Behaviour:
    """How the server answers for one file.

    ignore_range : send everything with 200, whatever part was asked for
    wrong_range : begin a byte later than asked for, and say so
    drop_after : end the connection after so many bytes of each answer
    drops : how many answers to cut; after that they are whole
    no_length : give no length, and end the answer by closing the connection
    code : answer with this code instead, `times` times
    silence_s : wait before the first byte of the content
    trickle_s : wait between the first and the second half of the content
    encoding : of the header Content-Encoding, as some servers wrongly send for .gz
    """

    ignore_range: bool = False
    wrong_range: bool = False
    drop_after: int | None = None
    drops: int = 10**9
    no_length: bool = False
    code: int | None = None
    times: int = 10**9
    silence_s: float = 0.0
    trickle_s: float = 0.0
    encoding: str = ""


@dataclass
class DataServer:
    """Files by name, how each is sent, and what was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    behaviour: dict[str, Behaviour] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # name, Range

    def add(self, name: str, content: bytes, **how: object) -> str:
        """Serve a file; its address."""
        self.files[name] = content
        self.behaviour[name] = Behaviour(**how)  # type: ignore[arg-type]
        return f"{self.url}/{name}"


@contextmanager
def serving() -> Iterator[DataServer]:
    """A server on a free port of this machine, until the block ends."""
    server = DataServer()

    class Handler(_Handler):
        data = server

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def write_registry(path: Path, content: bytes, *urls: str) -> None:
    """A registry of one data set, `toy`, with one file of this content at these addresses."""
    addresses = ", ".join(f'"{url}"' for url in urls)
    path.write_text(
        '[toy]\ntitle = "T"\npage = "http://page"\nlicence = "L"\ncitation = "C"\n'
        'by_hand = "The rest goes to {folder}/toy."\n'
        '[toy.also]\n"toy/" = "elsewhere/"\n'
        f'[[toy.files]]\npath = "toy/toy.bin"\nform = "original"\nsize = {len(content)}\n'
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nurls = [{addresses}]\n'
    )


class _Handler(BaseHTTPRequestHandler):
    data: DataServer

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        asked = self.headers.get("Range")
        self.data.requests.append((name, asked))
        if name not in self.data.files:
            return self.send_error(404)
        how = self.data.behaviour[name]
        if how.code and how.times > 0:
            how.times -= 1
            return self.send_error(how.code)
        try:
            return self._send(self.data.files[name], how, asked)
        except (BrokenPipeError, ConnectionResetError):
            return None  # the client has given up

    def _send(self, content: bytes, how: Behaviour, asked: str | None) -> None:
        start = 0
        if asked and not how.ignore_range:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + how.wrong_range  # type: ignore[index]
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        if not how.no_length:
            self.send_header("Content-Length", str(len(body)))
        if how.encoding:
            self.send_header("Content-Encoding", how.encoding)
        self.end_headers()
        if how.drop_after is not None and how.drops > 0:
            how.drops -= 1
            body = body[: how.drop_after]
        time.sleep(how.silence_s)
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        time.sleep(how.trickle_s)
        self.wfile.write(body[half:])
        self.wfile.flush()
        return None
