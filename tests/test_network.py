"""The tests cannot reach a network: this is what they rely on, so it is tested too."""

import socket
import subprocess
import sys

import pytest

# A name and an address that are reserved for documentation: nobody is there.
CODE = "import socket; socket.create_connection(('example.invalid', 80), timeout=1)"


def test_this_process_is_closed():
    with pytest.raises(socket.gaierror, match="the tests have no network"):
        socket.create_connection(("example.invalid", 80), timeout=1)
    with socket.socket() as plain, pytest.raises(OSError, match="the tests have no network"):
        plain.connect(("192.0.2.1", 80))


def test_child_processes_are_closed():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the tests have no network" in done.stderr


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
