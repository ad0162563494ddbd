"""An impostor on a port of ours, which keeps every byte that is sent there."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from enum import Enum

TRICKLE_S = 0.1
JSON = b"Content-Type: application/json\r\n"


class Behaviour(Enum):
    """How an impostor answers whatever it is asked."""

    AGREES = b"HTTP/1.1 200 OK\r\n" + JSON + b"Content-Length: 15\r\n\r\n" + b'{"ready": true}'
    PRETENDS = b"HTTP/1.1 200 OK\r\n" + JSON + b'Content-Length: 26\r\n\r\n{"pid":1,"proof":"abcdef"}'
    REFUSES = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"
    REDIRECTS = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    TRICKLES = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000
    CLOSES = b""


class Impostor:
    """Listens on `port` until closed. `received` is all that it was sent, over all connections."""

    def __init__(self, port: int, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.received = b""
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(end,), daemon=True).start()

    def _answer(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while data := end.recv(65536):
                with self._lock:
                    self.received += data
                if self.behaviour is Behaviour.TRICKLES:
                    for number in range(len(self.behaviour.value)):
                        end.send(self.behaviour.value[number : number + 1])
                        time.sleep(TRICKLE_S)
                elif self.behaviour is Behaviour.CLOSES:
                    return
                else:
                    end.sendall(self.behaviour.value)


@contextlib.contextmanager
def impostor(port: int, behaviour: Behaviour) -> Iterator[Impostor]:
    """An impostor on `port`, gone at the end."""
    found = Impostor(port, behaviour)
    try:
        yield found
    finally:
        found.close()
