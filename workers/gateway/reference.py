"""The description of the API as a plain page: no script, no style inside it, everything in it escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any, Final

from tidings.workers.gateway.problems import KINDS

_CODE = re.compile(r"`([^`]*)`")
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tidings: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/mark.svg" type="image/svg+xml"><link rel="stylesheet" href="/api/style.css"></head><body>
"""
STYLE: Final = """:root { color-scheme: light dark; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { white-space: pre-wrap; }
th, td { padding: 0 0.75rem 0.25rem 0; text-align: left; vertical-align: top; }
dd { margin-left: 1rem; }
"""
"""Lets the page fit into a narrow window: long names and lines are broken."""


def reference_page(openapi: dict[str, Any]) -> str:
    """Return the page.

    Args:
        openapi: the description of the API.
    """
    parts = [_HEAD, f"<h1>{escape(openapi['info']['title'])} {escape(openapi['info']['version'])}</h1>"]
    parts.append(f"<p>{_prose(openapi['info'].get('description', ''))}</p>")
    parts.append('<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>')
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method, operation)
    parts += _problems()
    schemas = openapi.get("components", {}).get("schemas", {})
    parts.append("<h2>Objects</h2>")
    for name, schema in schemas.items():
        parts.append(f'<h3 id="{escape(name)}">{escape(name)}</h3>{_code(schema)}')
    return "\n".join([*parts, "</body></html>"])


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
    yield f"<p>{_prose(operation.get('description', ''))}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "<table><tr><th>parameter</th><th>in</th><th>meaning</th></tr>"
        for one in parameters:
            cells = (escape(one["name"]), escape(one["in"]), _prose(one.get("description", "")))
            yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        yield "</table>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body, {escape(kind)}: {_reference(content.get('schema', {}))}</p>"
    for status, answer in operation.get("responses", {}).items():
        kinds = "".join(f" {_reference(content.get('schema', {}))}" for content in answer.get("content", {}).values())
        yield f"<p>{escape(status)}: {escape(answer.get('description', ''))}{kinds}</p>"
        for content in answer.get("content", {}).values():
            if "example" in content:
                yield _code(content["example"])


def _problems() -> Iterator[str]:
    yield "<h2>Problems</h2><dl>"
    for word, kind in KINDS.items():
        yield f'<dt id="{escape(word)}">{kind.status} <code>{escape(word)}</code>: {escape(kind.title)}</dt>'
        yield f"<dd>{_prose(f'{kind.detail} {kind.hint}'.strip())}</dd>"
    yield "</dl>"


def _prose(text: str) -> str:
    """Return a description as markup: what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _reference(schema: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f'<a href="#{escape(name)}">{escape(name)}</a>' if name else ""


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"
