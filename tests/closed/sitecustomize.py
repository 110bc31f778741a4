"""Close every socket but loopback: for the tests, which import this, and for their child processes, which find it."""

import socket

_LOOPBACK = ("127.0.0.1", "::1", "localhost", None, "")
_connect, _getaddrinfo = socket.socket.connect, socket.getaddrinfo


def _connect_loopback(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOOPBACK:
        raise OSError(f"the tests have no network, but {address[0]} was asked for")
    return _connect(self, address)


def _look_up_loopback(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if name not in _LOOPBACK:
        raise socket.gaierror(f"the tests have no network, but {name} was looked up")
    return _getaddrinfo(host, *args, **kwargs)


socket.socket.connect = _connect_loopback
socket.getaddrinfo = _look_up_loopback
