"""A small FastAPI service that is deployed without dropping a request.

Every answer carries the header X-Release, so that a client sees which release served it.
"""

import asyncio
import hashlib
import os
import sys
import time
from pathlib import Path

from fastapi import FastAPI, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, PlainTextResponse

from controller import broken


def release_name() -> str:
    """The variable RELEASE, else the file VERSION, else the name of the folder this process runs in."""
    name = os.environ.get("RELEASE", "").strip()
    if not name and Path("VERSION").is_file():
        name = Path("VERSION").read_text(encoding="utf-8").strip()
    name = name or Path.cwd().name
    # It goes into a header: anything but printable ASCII would make every answer fail.
    return "".join(c if 32 < ord(c) < 127 else "-" for c in name)


RELEASE = release_name()
PORT = int(os.environ.get("PORT") or 0)
STARTED = time.time()
BROKEN = broken.read()


class ReleaseHeader:
    """Adds X-Release to every answer. Plain ASGI: it passes bodies through untouched and covers WebSockets too."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        async def send_named(message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [*message.get("headers", []), (b"x-release", RELEASE.encode())]
            await send(message)

        await self.app(scope, receive, send_named)


app = FastAPI(title="Example service", version=RELEASE)
app.add_middleware(ReleaseHeader)


@app.exception_handler(Exception)
async def server_error(_: Request, __: Exception) -> JSONResponse:
    """The answer to an unexpected error is made outside all middleware, so it names the release itself."""
    return JSONResponse({"detail": "internal server error"}, 500, {"X-Release": RELEASE})


@app.get("/")
async def index() -> PlainTextResponse:
    return PlainTextResponse(f"Hello from release {RELEASE}\n")


@app.get("/version")
async def version() -> dict:
    return {"release": RELEASE, "pid": os.getpid(), "port": PORT, "started": STARTED}


async def health(request: Request) -> JSONResponse:
    if BROKEN.way == "health-hang":
        await asyncio.Event().wait()
    by_proxy = "x-forwarded-for" in request.headers or request.headers.get("connection") == "close"
    if BROKEN.turned_bad(by_proxy):
        # Where an application's own reason would stand; it belongs in the log of a failed deployment.
        print(f"health: release {RELEASE} lost its model (BROKEN says {BROKEN.way})", file=sys.stderr, flush=True)
        return JSONResponse({"health": "bad", "release": RELEASE}, 500)
    return JSONResponse({"health": "ok", "release": RELEASE})


app.add_api_route("/healthz" if BROKEN.way == "wrong-path" else "/health", health)


@app.get("/slow")
async def slow(seconds: float = Query(2.0, ge=0, le=60)) -> dict:
    await asyncio.sleep(seconds)
    return {"release": RELEASE, "seconds": seconds}


@app.post("/echo")
async def echo(request: Request) -> Response:
    kind = request.headers.get("content-type", "application/octet-stream")
    return Response(await request.body(), headers={"content-type": kind})


@app.post("/upload")
async def upload(request: Request) -> dict:
    """Read the body as it comes, never holding all of it."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return {"release": RELEASE, "size": size, "sha256": digest.hexdigest()}


@app.websocket("/ws")
async def websocket(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass


BROKEN.boot()
print(f"boot: release {RELEASE}, port {PORT}, pid {os.getpid()}", file=sys.stderr, flush=True)
