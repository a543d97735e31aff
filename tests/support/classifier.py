"""A service on loopback that scores texts and images, as OpenAI's `/v1/moderations` speaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.loopback import Loopback, write

LABELS = ("violence", "sexual")


class Service(Loopback):
    """Scores a text by its length; `script` says what it answers to the next requests instead."""

    def __init__(self) -> None:
        self.script: list[Callable[[dict[str, Any]], tuple[int, Any]]] = []
        self.requests: list[dict[str, Any]] = []
        super().__init__()

    def post(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        """Answer as the script says, or with right scores."""
        self.requests.append({"path": handler.path, **body})
        status, answer = self.script.pop(0)(body) if self.script else (200, right(body))
        write(handler, json.dumps(answer).encode(), status)


def right(body: dict[str, Any]) -> dict[str, Any]:
    """A score for each input."""
    scores = [len(json.dumps(one)) % 10 / 10 for one in body["input"]]
    return {"results": [{"flagged": False, "category_scores": {"violence": s, "sexual": s / 2}} for s in scores]}
