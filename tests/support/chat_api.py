"""A captioning service on loopback that answers right, wrong, late, cut or not at all, and keeps its own books.

It speaks as OpenAI's `/v1/chat/completions` does. It charges for each answer that it sends in full, once per
`Idempotency-Key`; `billed` is what it would put on the bill.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.loopback import Loopback, write

Act = Callable[["ChatApi", BaseHTTPRequestHandler, dict[str, Any]], object]

TOKENS_IN, TOKENS_OUT = 120, 20


def image_in(body: dict[str, Any]) -> str:
    """A name for the image in a request."""
    for part in body["messages"][-1]["content"]:
        if isinstance(part, dict) and part["type"] == "image_url":
            return hashlib.sha256(part["image_url"]["url"].encode()).hexdigest()[:12]
    return "none"


def caption_of(body: dict[str, Any]) -> str:
    """What the service says of an image: the same each time."""
    return f"A photograph called {image_in(body)} on a table."


class ChatApi(Loopback):
    """The service. `plan` says what happens to a request, by its payload's name and how often that was asked."""

    def __init__(self, plan: Callable[[dict[str, Any], int], Act] | None = None, delay: float = 0.0) -> None:
        self.plan = plan or (lambda body, time_asked: right)
        self.delay = delay
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrived: list[tuple[float, str]] = []
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()  # by payload, answers sent in full
        self.billed: dict[str, tuple[str, int]] = {}  # by Idempotency-Key: the payload, and its tokens
        self.tokens = 0  # of all answers sent in full
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = threading.Lock()
        super().__init__()

    def post(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self.lock:
            self.requests.append(body)
            self.headers.append(dict(handler.headers))
            self.arrived.append((time.monotonic(), name))
            times = self.asked[name] = self.asked[name] + 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self.over.wait(self.delay)
            self.plan(body, times)(self, handler, body)
        except OSError:
            return  # the client has gone
        finally:
            with self.lock:
                self.in_flight -= 1

    def send(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], answer: object) -> None:
        """An answer in full, which is charged for."""
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        usage = answer.get("usage") if isinstance(answer, dict) else None
        tokens = usage["prompt_tokens"] + usage["completion_tokens"] if usage else TOKENS_IN + TOKENS_OUT
        with self.lock:
            self.answered[name] += 1
            self.tokens += tokens
            self.billed.setdefault(handler.headers.get("Idempotency-Key") or f"none {len(self.billed)}", (name, tokens))
        write(handler, json.dumps(answer).encode())


def whole(text: str, finish: str = "stop", tokens: tuple[int, int] = (TOKENS_IN, TOKENS_OUT)) -> dict[str, Any]:
    """An answer of the service's usual shape."""
    return {
        "id": "x",
        "object": "chat.completion",
        "model": "captions-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }


def right(api: ChatApi, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    api.send(handler, body, whole(caption_of(body)))


def says(text: str, finish: str = "stop", tokens: tuple[int, int] = (TOKENS_IN, TOKENS_OUT)) -> Act:
    return lambda api, handler, body: api.send(handler, body, whole(text, finish, tokens))


def sends(answer: object) -> Act:
    return lambda api, handler, body: api.send(handler, body, answer)


def status(code: int, text: str = "", **headers: str) -> Act:
    return lambda api, handler, body: write(handler, text.encode(), code, **headers)


def cut_json(api: ChatApi, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    write(handler, json.dumps(whole(caption_of(body))).encode()[:-20])


def drip(api: ChatApi, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not api.over.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def hang(api: ChatApi, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    api.over.wait(30)


def hang_up(api: ChatApi, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.connection.close()


@contextmanager
def chat_api(plan: Callable[[dict[str, Any], int], Act] | None = None, delay: float = 0.0) -> Iterator[ChatApi]:
    """The service, until the end."""
    api = ChatApi(plan, delay)
    try:
        yield api
    finally:
        api.close()
