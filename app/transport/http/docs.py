"""The interface, described for people and programs; nothing comes from the internet."""

import html
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from app.domain.access import Role
from app.transport.asyncapi import ChannelNames, asyncapi_document
from app.transport.http.access import Access, AskingAccess

STATIC = Path(__file__).parent / "static"
ASSETS = "/docs/assets"
READER = Access(Role.READ, is_open_without_keys=True)

VIEWER = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Recommendation service</title>
<link rel="stylesheet" href="{ASSETS}/swagger-ui.css"><link rel="icon" href="{ASSETS}/favicon-32x32.png"></head><body>
<form id="key-form" hidden>
<p id="key-problem"></p>
<label>API key <input id="key" type="password" autocomplete="off" required></label> <button>Show</button>
</form>
<div id="swagger-ui"></div>
<script src="{ASSETS}/swagger-ui-bundle.js"></script><script src="{ASSETS}/docs.js"></script>
</body></html>"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MQTT interface</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{margin-top:2rem}code,pre{background:#f3f3f3;border-radius:4px}code{padding:.1em .3em}pre{padding:1rem;overflow:auto}
</style></head><body>
<h1>MQTT interface</h1>
<p>{description}
As <a href="/asyncapi?format=json">AsyncAPI document</a>; the HTTP interface is at <a href="/docs">/docs</a>.</p>
{channels}
<h2>Schemas</h2>
<details><summary>All schemas</summary><pre>{schemas}</pre></details>
</body></html>"""

CHANNEL = """<h2>{title}</h2>
<p>{direction} <code>{topic}</code>: {text}</p>
<details><summary>Schema</summary><pre>{schema}</pre></details>
"""


def docs_router(names: ChannelNames) -> APIRouter:
    """The pages for these topics."""
    router = APIRouter(include_in_schema=False)
    document = asyncapi_document(names)

    @router.get("/")
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @router.get("/docs")
    async def docs(status: Annotated[int, Depends(AskingAccess(READER))]) -> HTMLResponse:
        return HTMLResponse(VIEWER, status, {"WWW-Authenticate": "Bearer"} if status == 401 else None)

    @router.get("/openapi.json", dependencies=[Depends(READER)])
    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(request.app.openapi())

    @router.get("/asyncapi", dependencies=[Depends(READER)])
    async def asyncapi(request: Request, format: str = "") -> Response:
        if format != "json" and "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_page(document))
        return JSONResponse(document)

    return router


def _page(document: dict[str, Any]) -> str:
    channels = "".join(_channel(document, name) for name in document["channels"])
    description = html.escape(document["info"]["description"])
    page = PAGE.replace("{description}", description).replace("{channels}", channels)
    return page.replace("{schemas}", _escaped(document["components"]["schemas"]))


def _channel(document: dict[str, Any], name: str) -> str:
    channel = document["channels"][name]
    is_inbound = document["operations"][name]["action"] == "receive"
    return CHANNEL.format(
        title=html.escape(name),
        direction="The service reads" if is_inbound else "The service writes",
        topic=html.escape(channel["address"]),
        text=html.escape(channel["description"]),
        schema=_escaped(channel["messages"][name]["payload"]),
    )


def _escaped(schema: Any) -> str:
    return html.escape(orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode())
