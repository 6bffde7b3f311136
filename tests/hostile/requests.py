"""Hostile HTTP requests, as bytes."""

import json
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from tests.hostile.bodies import Kind, body, known_customer, marked

PATHS = [
    "/", "/docs", "/asyncapi", "/asyncapi?format=json", "/openapi.json", "/readyz", "/readyz?verbose", "/livez",
    "/metrics", "/healthcheck", "/docs/assets/swagger-ui.css", "/docs/assets/", "/docs/assets", "/livez/",
    "/mock_focus/", "//livez//", "/docs/assets/%00", "/docs/assets/%2e%2e/%2e%2e/main.py",
    "/docs/assets/..%2f..%2f..%2fmain.py", "/%ff%fe",
    "/..", "/docs/assets//etc/passwd", "/mock_focus", "/score", "/score/", "/.git/config", "/%0d%0aX-A:%20b",
    "*", "/;/..;/",
]  # fmt: skip
METHODS = ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get", "CONNECT"]
KINDS = [
    "application/json",
    "text/plain",
    "text/html",
    "application/json; charset=utf-16",
    "multipart/form-data",
    "",
    "a/b/c",
]
NAMES = ["dry_run", "verbose", "format", "callback", "limit", "x[]", "id"]
HOSTS = ["127.0.0.1", "[::1", "evil.example", "a b", "", "127.0.0.1:99999", '"><script>alert(1)</script>', "x" * 300]
RANGES = [
    "bytes=0-",
    "bytes=-1",
    "bytes=9-1",
    "bytes=0-0,1-1,2-2",
    "bytes=" + "0-," * 500,
    "bytes=a-b",
    "lines=1",
    "bytes=-",
]
DATES = ["Thu, 01 Jan 1970 00:00:00 GMT", "0", "x", "99999999999999999999", "Thu, 99 Foo 2021 99:99:99 +9999", ", , ,"]
CUSTOMER = {
    "customer_id": "1", "gender": "F", "age": 30, "mean_buy_price": 10.0, "total_coupons_used": 1,
    "mean_discount_received": 10.0, "unique_products_bought": 1, "unique_products_bought_with_coupons": 1,
    "total_items_bought": 1,
}  # fmt: skip
COUPON = {
    "coupon_id": "1", "coupon_type": "buy_all", "department": "Boys", "discount": 10, "how_many_products_required": 2,
    "product_mean_price": 5.0, "products_available": 9,
}  # fmt: skip
NUMBERS: list[object] = [
    0,
    -1,
    1,
    2**31 - 1,
    2**31,
    1e12,
    1e308,
    5e-324,
    True,
    None,
    "7",
    "",
    [],
    {},
    10**60,
    float("nan"),
    float("inf"),
]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as bytes. `kind` and `body`: what a mock endpoint is to make of it, if it is one for that."""

    raw: bytes
    kind: Kind | None = None
    body: bytes = b""
    is_dry_run: bool = False
    may_be_cut: bool = False


def make(rng: Random) -> Request:
    """Most of them events, well wrapped; some badly wrapped, some for other routes."""
    return rng.choice([_event, _event, _event, _event, _badly_wrapped, _score, _other, _other])(rng)


def _event(rng: Random) -> Request:
    kind: Kind = rng.choice(["focus", "focus", "entry"])
    content = body(rng, kind)
    is_dry_run = kind == "focus" and rng.random() < 0.2
    query = (
        rng.choice(["?dry_run=true", "?dry_run=1", "?dry_run=on&dry_run=yes"]) if is_dry_run else _harmless_query(rng)
    )
    headers = {"Content-Type": rng.choice(KINDS), **_headers(rng)}
    if rng.random() < 0.25:
        headers["Transfer-Encoding"] = "chunked"
        wrapped = _chunked(rng, content)
    else:
        headers["Content-Length"] = str(len(content))
        wrapped = content
    raw = _head("POST", f"/mock_{kind}{query}", headers) + wrapped
    return Request(raw, kind, content, is_dry_run, may_be_cut=len(content) > 64 * 1024)


def _harmless_query(rng: Random) -> str:
    return rng.choice(
        ["", "", "", "?dry_run=false", f"?{quote(marked(rng))}={quote(marked(rng))}", "?&&==;", "?%ff=%00"]
    )


def _badly_wrapped(rng: Random) -> Request:
    kind: Kind = rng.choice(["focus", "entry"])
    content = body(rng, kind)
    path = f"/mock_{kind}"
    dry_run = rng.choice(["2", "", "TRUE ", "null", "[]", quote(marked(rng))])
    wrong = [
        _head("POST", path, {"Content-Length": str(len(content) + rng.choice([1, 10, 10**18]))}) + content,
        _head("POST", path, {"Content-Length": str(max(0, len(content) - 5))}) + content,
        _head("POST", path, {"Content-Length": rng.choice(["-1", "x", "1e3", "9" * 40, "0x10", "+5", "5, 5"])})
        + content,
        _head("POST", path, {"Transfer-Encoding": "chunked"})
        + rng.choice([b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"]),
        _head("POST", path, {"Transfer-Encoding": "chunked", "Content-Length": "5"}) + _chunked(rng, content),
        _head("POST", path, {"Transfer-Encoding": "gzip, chunked", "Content-Encoding": "gzip"})
        + _chunked(rng, content),
        _head("POST", f"{path}?dry_run={dry_run}", {"Content-Length": "0"}),
        _head("POST", path, {"Expect": "100-continue", "Content-Length": str(len(content))}) + content,
        _head("POST", path, {}) + content,
        _head(rng.choice(METHODS), path, {"Content-Length": str(len(content))}) + content,
        _head("POST", path, {"Content-Length": "0", "X" * 70_000: "y"}),
        f"POST {path} HTTP/9.9\r\n\r\n".encode(),
        rng.randbytes(rng.randrange(1, 200)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(40),
        b"\r\n" * rng.randrange(1, 9) + b"GET",
    ]
    return Request(rng.choice(wrong), may_be_cut=True)


def _score(rng: Random) -> Request:
    customer, coupon = dict[str, object](CUSTOMER), dict[str, object](COUPON)
    customer["customer_id"] = rng.choice([known_customer(rng), marked(rng), 7])
    for document in (customer, coupon):
        if rng.random() < 0.6:
            document[rng.choice(list(document))] = rng.choice([*NUMBERS, marked(rng)])
    coupons = [coupon] * rng.choice([0, 1, 1, 1, 3, 300])
    content = json.dumps({"customer": customer, "coupons": coupons}).encode()
    if rng.random() < 0.2:
        content = body(rng, "focus")
    raw = _head("POST", "/score", {"Content-Length": str(len(content)), **_headers(rng)}) + content
    return Request(raw, may_be_cut=len(content) > 64 * 1024)


def _other(rng: Random) -> Request:
    path = rng.choice(PATHS) if rng.random() < 0.8 else f"/{quote(marked(rng), safe=rng.choice(['', '/<>:', '?&=']))}"
    if rng.random() < 0.3:
        path += f"{'&' if '?' in path else '?'}{rng.choice(NAMES)}={quote(marked(rng))}"
    method = rng.choice(METHODS)
    return Request(_head(method, path, _headers(rng)), may_be_cut=True)


def _headers(rng: Random) -> dict[str, str]:
    if rng.random() < 0.5:
        return {}
    mark = marked(rng).encode("ascii", "replace").decode().translate(dict.fromkeys((*range(32), 127), "?"))
    usual = {
        "Accept": ["text/html", "*/*", "application/xml", "", mark],
        "X-Forwarded-For": ["127.0.0.1", "::1, 10.0.0.1", mark, "," * 500],
        "X-Forwarded-Proto": ["https", "javascript", mark],
        "Forwarded": [f"for={mark}"],
        "Cookie": [f"a={mark}", "=" * 5_000],
        "Origin": ["null", f"http://{mark}"],
        "Range": RANGES,
        "If-Range": DATES,
        "If-None-Match": ["*", '"', mark],
        "If-Modified-Since": DATES,
        "Authorization": ["Basic Og==", f"Bearer {mark}", "Bearer", "x" * 9_000],
        "Upgrade": ["websocket", "h2c"],
        "Host": HOSTS,
    }
    names = rng.sample(list(usual), rng.randrange(1, 4))
    return {name: rng.choice(usual[name]) for name in names}


def _head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = {"Host": "127.0.0.1", **headers, "Connection": "close"}
    return f"{method} {path} HTTP/1.1\r\n".encode() + b"".join(
        f"{name}: {value}\r\n".encode() for name, value in lines.items()
    ) + b"\r\n"  # fmt: skip


def _chunked(rng: Random, content: bytes) -> bytes:
    size = rng.choice([1, 7, 1_000, 100_000])
    size = max(size, len(content) // 1_000)
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
