"""Reserve TCP ports for children: a wish in, a bound number out that nobody else gets while the reservation is held.

The servers bind with SO_REUSEPORT; so does the reservation, which never listens and hence gets no connection.
"""

from __future__ import annotations

import errno
import socket

from oms_app.cli.errors import WrongSettings


class PortReservation:
    """One port of one address, kept through restarts of the server that uses it."""

    def __init__(self, host: str, port: int, option: str) -> None:
        """Hold the port, or a free one for 0. Raises WrongSettings when somebody listens there already."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if port:
            _refuse_taken(family, host, port, option)
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise WrongSettings(_told(error, host, port, option)) from None
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def _refuse_taken(family: int, host: str, port: int, option: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise WrongSettings(_told(error, host, port, option)) from None


def _told(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use\n  fix: stop what listens there, or choose another: {option} 0 picks one"
        )
    return f"cannot listen at {host}:{port}: {error.strerror}\n  fix: choose another address or port ({option})"
