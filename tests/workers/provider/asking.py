"""How these tests ask a provider over real HTTP, and a clock that they set."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tidings.workers.provider import Provider

MODEL = "test-model"
KEY = "sk-test-0123456789abcdef"


@dataclass
class FakeClock:
    """A clock that stands still until told otherwise."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers, and the body as text."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def content(self) -> str:
        """The text of a plain answer."""
        content = self.json()["choices"][0]["message"]["content"]
        assert isinstance(content, str)
        return content

    @property
    def error(self) -> dict[str, Any]:
        """The error object of a failure."""
        error = self.json()["error"]
        assert isinstance(error, dict)
        assert set(error) == {"message", "type", "param", "code"}
        return error

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The chunks of a stream, without its closing [DONE]."""
        lines = [line.removeprefix("data: ") for line in self.text.split("\n\n") if line]
        return [json.loads(line) for line in lines if line != "[DONE]"]


@dataclass
class Client:
    """Asks one provider, as a user of OpenAI's API would."""

    provider: Provider
    session: aiohttp.ClientSession
    key: str | None = KEY

    async def ask(self, text: str = "hello", *, model: str = MODEL, key: str | None = None, **body: Any) -> Answer:
        """Ask for a completion; `body` adds to the request or replaces parts of it."""
        asked = {"model": model, "messages": [{"role": "user", "content": text}], **body}
        return await self.send(json.dumps(asked).encode(), key=key)

    async def send(self, body: bytes, *, key: str | None = None) -> Answer:
        """Send any body to the endpoint."""
        shown = key if key is not None else self.key
        headers = {"Content-Type": "application/json"}
        if shown:
            headers["Authorization"] = f"Bearer {shown}"
        url = f"{self.provider.base_url}/chat/completions"
        async with self.session.post(url, data=body, headers=headers) as response:
            return Answer(response.status, response.headers.copy(), await response.text())

    async def call(self, method: str, path: str, body: object = None, key: str | None = None) -> Answer:
        """Call any other path below the server's root."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"{self.provider.url}{path}"
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, url, data=data, headers=headers) as response:
            return Answer(response.status, response.headers.copy(), await response.text())


@asynccontextmanager
async def asking(provider: Provider) -> AsyncIterator[Client]:
    """Run a provider and give a client for it."""
    async with provider, aiohttp.ClientSession() as session:
        yield Client(provider, session)
