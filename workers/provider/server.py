"""The server: starts and ends, and shows what the provider saw.

Beside `POST /v1/chat/completions` and `GET /v1/models` it has, for every client that reaches it, without a key:

    GET /healthz            {"status": "ok"} once it listens
    GET /stats              what `Provider.stats` returns
    GET /requests?after=N   the recorded requests numbered beyond N, as a JSON array of `RequestRecord`s
    GET, POST, DELETE /script   the scripted failures that wait; add one or a list, as `Fault` objects or in
                            compact form (`"503x2"`); forget them all
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from tidings.workers.provider.api_keys import bearer
from tidings.workers.provider.chat import ChatEndpoint, Clock, Sleep
from tidings.workers.provider.error_answers import ErrorAnswer, Refusal
from tidings.workers.provider.fault_queue import FaultQueue
from tidings.workers.provider.faults import Fault, explain
from tidings.workers.provider.journal import Journal, RequestRecord
from tidings.workers.provider.settings import ECHO, ProviderSettings

_SHUTDOWN_S = 0.05
"""How long aiohttp waits for calls in flight before it cancels them; 0 would mean for ever."""

_FAULTS: TypeAdapter[list[Fault | str]] = TypeAdapter(list[Fault | str])
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Provider:
    """An LLM provider that speaks OpenAI's HTTP and obeys its script.

    Use it as an async context manager, or `start` and `close` it. It serves one run: a closed one cannot be
    started again, but still tells what it saw. All methods belong to the event loop that runs it.

    Args:
        settings: What to serve, and how; the defaults answer every call.
        clock: Seconds on a steady clock, for the limits and the records.
        wall_clock: Seconds since 1970, for dates in answers.
        sleep: Waits the seconds given, for latencies and time-outs.
    """

    def __init__(
        self,
        settings: ProviderSettings | None = None,
        *,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings or ProviderSettings()
        self._clock = clock
        self._started_at = 0.0
        self._journal = Journal(self._settings.request_log, self._settings.request_log_bytes)
        self._script = FaultQueue(self._settings.script)
        self._chat = ChatEndpoint(self._settings, self._journal, self._script, clock=clock, wall_clock=wall_clock, sleep=sleep)
        self._runner: web.AppRunner | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The address of the server, as in `http://127.0.0.1:8080`; `/stats` and the rest are below it.

        Raises:
            RuntimeError: it was not started.
        """
        if self._url is None:
            raise RuntimeError("the provider has no address yet: start it first")
        return self._url

    @property
    def base_url(self) -> str:
        """What clients take as their API base, as in `http://127.0.0.1:8080/v1`.

        Raises:
            RuntimeError: it was not started.
        """
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[RequestRecord]:
        """The recorded requests as they stand now, oldest first; what was dropped is counted in `stats`."""
        return self._journal.records()

    def script(self, *faults: Fault) -> None:
        """Queue scripted failures behind those that wait; from now on, each call takes the first aimed at it.

        Raises:
            ValueError: too many would wait.
        """
        self._script.add(*faults)

    def clear_script(self) -> None:
        """Forget the scripted failures that wait."""
        self._script.clear()

    def stats(self) -> dict[str, Any]:
        """Return what `/stats` shows: requests by how they ended, and the scripted failures to come."""
        uptime_s = self._clock() - self._started_at if self._url else 0.0
        return self._journal.statistics() | {"script": self._script.pending(), "uptime_s": round(uptime_s, 3)}

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: the address cannot be listened on, for example since the port is in use.
            RuntimeError: it was started before.
        """
        if self._runner is not None or self._url is not None:
            raise RuntimeError("a provider is started once: make a new one")
        self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        except BaseException:
            await self.close()
            raise
        self._url = _url(self._settings.host, self._runner.addresses[0][1])
        self._started_at = self._clock()

    async def close(self) -> None:
        """Stop listening and drop every connection, calls in flight too. Closing again does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_runner", None) is not None:
            warnings.warn(f"the provider at {self._url} was not closed", ResourceWarning, stacklevel=2)

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[_errors_as_json], client_max_size=self._settings.body_bytes)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat.handle),
                web.get("/v1/models", self._models),
                web.get("/healthz", self._health),
                web.get("/stats", self._stats),
                web.get("/requests", self._requests),
                web.get("/script", self._show_script),
                web.post("/script", self._add_script),
                web.delete("/script", self._drop_script),
            ]
        )
        return app

    async def _models(self, request: web.Request) -> web.Response:
        self._chat.check_key(bearer(request.headers.get("Authorization")))
        names = self._settings.models or (ECHO,)
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "tidings"} for name in names]
        return web.json_response({"object": "list", "data": models})

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats())

    async def _requests(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise Refusal(ErrorAnswer(400, "after is the number of a request, 0 for all", param="after"))
        records = [record.as_json() for record in self._journal.records(int(after))]
        # A prompt can hold 1e999, which is read as infinity and is not JSON when written.
        return web.Response(body=to_json(records, inf_nan_mode="null"), content_type="application/json")

    async def _show_script(self, _: web.Request) -> web.Response:
        return web.json_response({"script": self._script.pending()})

    async def _add_script(self, request: web.Request) -> web.Response:
        try:
            faults = _read_faults(await request.read())
            self.script(*faults)
        except ValueError as error:
            raise Refusal(ErrorAnswer(400, str(error), param="script")) from None
        return web.json_response({"added": len(faults), "script": self._script.pending()})

    async def _drop_script(self, _: web.Request) -> web.Response:
        self.clear_script()
        return web.json_response({"script": []})


async def serve(settings: ProviderSettings, ready: Callable[[Provider], None]) -> None:
    """Run a provider until cancelled.

    Args:
        settings: What to serve, and how.
        ready: Called once with the provider when it listens.

    Raises:
        OSError: the address cannot be listened on.
    """
    async with Provider(settings) as provider:
        ready(provider)
        await asyncio.get_running_loop().create_future()


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        answer = refusal.answer
    except web.HTTPException as error:
        allow = {name: value for name, value in error.headers.items() if name == "Allow"}
        answer = ErrorAnswer(error.status, f"{error.reason}.", headers=allow)
    return web.json_response(text=answer.text(), status=answer.status, headers=answer.headers)


def _read_faults(body: bytes) -> list[Fault]:
    """Read one fault or a list of them, each as an object or in compact form."""
    try:
        value = from_json(body)
        faults = _FAULTS.validate_python(value if isinstance(value, list) else [value])
    except ValidationError as error:
        raise ValueError(f"not a scripted failure: {explain(error)}") from None
    return [Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults]


def _url(host: str, port: int) -> str:
    reached = _ANY_HOST.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
