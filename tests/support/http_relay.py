"""Stands between a client and a server of HTTP/1.1, and may keep an answer to itself."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

CHUNK = 65536
JOIN_MAX_S = 5.0


class Relay:
    """Listens on a free port of loopback and passes on to `to_port`, as if the client had meant that one.

    While `answers_kept` is more than 0, each request that begins with `keeps` counts it down and reaches the server;
    its answer is read and kept, and the client's connection is closed without it. Use it as a context manager.
    """

    def __init__(self, to_port: int, *, keeps: bytes = b"POST ") -> None:
        self.to_port, self.keeps = to_port, keeps
        self.answers_kept = 0
        self.kept: list[bytes] = []
        self._lock = threading.Lock()
        self._carried: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone for good: nobody gets in any more, and whoever is connected is cut off."""
        if not self._thread.is_alive():
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=JOIN_MAX_S)
        with self._lock:
            for client in self._carried:
                client.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, self._registered(client), suppress(OSError), self._reached() as server:
            is_kept = False
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(CHUNK)
                    if not data:
                        return
                    if end is client:
                        is_kept = is_kept or self._is_kept(data)
                        server.sendall(self._renamed(data))
                    elif is_kept:
                        self.kept.append(data)
                        return
                    else:
                        client.sendall(data)

    def _reached(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.to_port))

    @contextmanager
    def _registered(self, client: socket.socket) -> Iterator[None]:
        with self._lock:
            self._carried.add(client)
        try:
            yield
        finally:
            with self._lock:
                self._carried.discard(client)

    def _is_kept(self, data: bytes) -> bool:
        with self._lock:
            if not data.startswith(self.keeps) or self.answers_kept == 0:
                return False
            self.answers_kept -= 1
            return True

    def _renamed(self, data: bytes) -> bytes:
        return data.replace(b"127.0.0.1:%d" % self.port, b"127.0.0.1:%d" % self.to_port)
