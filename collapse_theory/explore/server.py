"""The server of the page: a few addresses, each a function of a state. It serves this machine only and evaluates no text."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from collapse_theory.core.errors import CollapseTheoryError
from collapse_theory.explore.answers import about_data, beginnings, code_data, drawing
from collapse_theory.explore.curves import curve, optimum
from collapse_theory.explore.live import live_points
from collapse_theory.explore.page import FOLDER, live_page
from collapse_theory.explore.state import State
from collapse_theory.explore.uploads import MOST_BYTES, diagnosis

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["application"]

_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
_MOST_POINTS = 200
_one_at_a_time = threading.Lock()
"""Derivations and answers; simulations run beside them."""


def application(first: State) -> Starlette:
    """Return the server of the explorer that opens with a state.

    A request whose host is not this machine is refused: a page elsewhere cannot reach it under a name of its own.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import HTMLResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def page(_: Request) -> Response:
        with _one_at_a_time:
            return HTMLResponse(live_page(beginnings(first)), headers={"Content-Security-Policy": _POLICY})

    answers: dict[str, Callable[[State, Request], Any]] = {
        "/about": lambda state, _: about_data(state),
        "/curve": lambda state, request: curve(state, _points(request)),
        "/optimum": lambda state, _: optimum(state),
        "/code": lambda state, _: code_data(state),
        "/drawing": lambda state, _: drawing(state),
    }
    return Starlette(
        routes=[
            Route("/", page),
            *(Route(path, _answering(answer)) for path, answer in answers.items()),
            Route("/simulation", _simulation),
            Route("/diagnosis", _diagnosis, methods=["POST"]),
            Mount("/page", StaticFiles(directory=FOLDER)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


def _answering(answer: Callable[[State, Request], Any]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        try:
            with _one_at_a_time:
                return _json(answer(_state(request), request))
        except CollapseTheoryError as e:
            return _refusal(e)

    return endpoint


def _state(request: Request) -> State:
    return State.of(request.query_params.get("state", ""))


def _points(request: Request) -> int:
    given = request.query_params.get("points", "")
    return min(max(int(given), 2), _MOST_POINTS) if given.isdecimal() and len(given) < 6 else 49


def _json(found: Any) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(found)


def _refusal(e: Exception) -> Response:
    """Return why there is no answer: what the page shows where the answer would be."""
    return _json({"error": str(e)})


def _simulation(request: Request) -> Response:
    from starlette.responses import StreamingResponse

    try:
        state = _state(request)
    except CollapseTheoryError as e:
        return _refusal(e)
    return StreamingResponse(_events(state), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _events(state: State) -> Iterator[str]:
    try:
        for point in live_points(state):
            yield f"data: {json.dumps(point)}\n\n"
    except CollapseTheoryError as e:
        yield f"data: {json.dumps({'refused': str(e)})}\n\n"
    yield "event: done\ndata: {}\n\n"


async def _diagnosis(request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:  # the rest is not read; matrix says so
            break
    try:
        state = _state(request)
        name = request.query_params.get("name", "")
        return _json(await run_in_threadpool(diagnosis, state, name, bytes(content)))
    except CollapseTheoryError as e:
        return _refusal(e)
