"""Start the explorer: a free port of this machine, the browser, the server, and a quiet end."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import integer
from collapse_theory.core.reading import read_text
from collapse_theory.explore.presets import PRESETS
from collapse_theory.explore.server import application
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import first_state

__all__ = ["HOST", "opening_state", "serve"]

HOST = "127.0.0.1"
"""The loopback address: no other machine reaches it."""

_LONGEST = 1 << 20


def opening_state(what: str | None) -> State:
    """Return the state that a command's argument names: a slug, a pipeline file, or nothing for the first preset.

    Raises:
        ParseError: If the file cannot be read, or is not understood.
        DomainError: If the slug is unknown.

    >>> opening_state("ridge-clean").over
    'lam'
    """
    if what is None:
        return PRESETS[0].state
    return first_state(read_text(Path(what), "pipeline file", _LONGEST) if what.endswith(".toml") else what)


def serve(state: State, port: int, *, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page until it is interrupted.

    Args:
        state: What it opens with.
        port: Of this machine; 0 takes a free one.
        browser: Whether to open it; without a browser the address is said and the server goes on.
        say: Prints a line.

    Raises:
        DomainError: If the port is taken, or the extra ``explore`` is not installed.
    """
    try:
        import uvicorn

        served = application(state)
    except ImportError as e:
        raise DomainError(
            f"explore needs the extra explore, got no {e.name}; install it with: pip install 'collapse-theory[explore]'"
        ) from e
    listening = _listening(integer(port, "port", least=0, most=65535, remedy="give for example 5006"))
    address = f"http://{HOST}:{listening.getsockname()[1]}/"
    say(f"explorer at {address} (Ctrl-C ends it)")
    config = uvicorn.Config(served, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    if browser:
        threading.Thread(target=_open, args=(address, say), daemon=True).start()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()


def _listening(port: int) -> socket.socket:
    """Return a socket of this machine's loopback address.

    Raises:
        DomainError: If the port is taken.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was left a moment ago is free
    try:
        found.bind((HOST, port))
        found.listen()
    except OSError as e:
        found.close()
        raise DomainError(
            f"port needs to be free and permitted, got {port} ({e.strerror}); choose another with --port, or --port 0 for any"
        ) from e
    return found


def _open(address: str, say: Callable[[str], None]) -> None:
    try:
        opened = webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    if not opened:
        say("no browser found here: open the address in one")
