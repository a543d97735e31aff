"""A chat service, asked with care: nothing twice, within a budget, no faster than allowed, each cent counted.

A question is known by its payload (address, body, and the image by its hash): an answer to it is kept and told again.
An answer that was paid for and is none (refused, cut, of another shape) is kept too, as what it is, and asked for anew
only where `again` says so. Each try tells the service the payload as `Idempotency-Key`, so that one which heeds it
charges once for a request whose asker was killed before the answer came.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from sluice.caption.base import CaptionFailure, FailureKind, Spent
from sluice.caption.cache import Amount, Answer, AnswerCache
from sluice.caption.config import ServiceBase
from sluice.caption.pace import Pace
from sluice.caption.reading import UnreadableError
from sluice.errors import SampleFailure, SluiceError
from sluice.models.http_post import FinalFailure, Passing, Poster, PostFailure, Trouble

_POLL: Final = 0.05  # seconds between looks at what others are doing
_KINDS: Final[Mapping[Trouble, FailureKind]] = {
    "rate": "rate",
    "server": "server",
    "rejected": "rejected",
    "unreachable": "connection",
    "connection": "connection",
    "timeout": "timeout",
    "json": "json",
    "answer": "schema",
}
_FREE: Final[frozenset[Trouble]] = frozenset({"rate", "server", "rejected", "unreachable"})  # no answer, no charge

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """What is asked. `image` gives a data URL and is called only where the question goes out."""

    text: str
    system: str | None = None
    image_name: str | None = None
    image: Callable[[], str] | None = None
    response_format: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What came of a question: a value or a failure, and what it took."""

    value: T | None
    failure: CaptionFailure | None
    spent: Spent
    cached: bool = False


class ChatService:
    """One service. Threads may share it; `scope` is whose budget it is, over all processes that use the same cache."""

    def __init__(
        self,
        config: ServiceBase,
        cache: AnswerCache,
        *,
        scope: str,
        again: bool = False,
        poster: Poster | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.interrupted: Final = threading.Event()  # set: what waits gives up, what is in flight ends
        limits = config.limits
        self._config = config
        self._cache = cache
        self._scope = scope
        self._again = again
        self._url = f"{config.url.rstrip('/')}/chat/completions"
        self._post = poster or Poster(
            self._url,
            key_variable=config.key_variable,
            timeout=limits.timeout,
            tries=limits.tries,
            longest_wait=limits.longest_wait,
            sleep=self._sleep,
        )
        self._pace = pace or Pace(limits.tokens_per_minute, sleep=self._sleep)
        self._lock = threading.Lock()
        self._asked_anew: set[str] = set()
        self._unasked = 0
        self._stopped = False

    @property
    def spent(self) -> Amount:
        """Of its scope, in all processes and runs."""
        return self._cache.spent(self._scope)

    @property
    def stopped(self) -> str | None:
        """What is left, once the budget bears no further try."""
        if not self._stopped:
            return None
        spent, budget, next_one = self.spent, self._config.budget, self._largest_try(0)
        used = [
            f"{amount:,.6g} of {cap:,.6g} {unit} (the next may take {worst:,.6g})"
            for amount, cap, unit, worst in (
                (spent.money, budget.money, self._config.price and self._config.price.currency, next_one.money),
                (spent.tokens, budget.tokens, "tokens", next_one.tokens),
                (spent.requests, budget.requests, "requests", 1),
            )
            if cap is not None
        ]
        return f"the budget is used up: {', '.join(used)}; {self._unasked:,} questions were left unasked"

    def ask(self, question: Question, read: Callable[[str], T]) -> Reply[T]:
        """What `read` makes of the answer; it raises `UnreadableError` for a text that is none."""
        key = self._key(question)
        while True:
            if (known := self._known(key, read)) is not None:
                return known
            if self._stopped or self.interrupted.is_set():
                return self._left_unasked()
            if self._cache.claim(key, self._scope):
                break
            self.interrupted.wait(_POLL)
        try:
            return self._known(key, read) or self._asked(key, question, read)
        finally:
            with self._lock:
                self._asked_anew.add(key)
            self._cache.release(key)

    def _known(self, key: str, read: Callable[[str], T]) -> Reply[T] | None:
        found = self._cache.find(key)
        if found is None or (self._again and not found.good and key not in self._asked_anew):
            return None
        spent = Spent(found.attempts, found.tokens_in, found.tokens_out, found.cost, found.seconds)
        fields = json.loads(found.answer)
        if not found.good:
            return Reply(None, CaptionFailure("api", fields["kind"], fields["message"]), spent, cached=True)
        try:
            return Reply(read(fields["text"]), None, spent, cached=True)
        except UnreadableError as error:
            return Reply(None, CaptionFailure("api", error.kind, error.message), spent, cached=True)

    def _asked(self, key: str, question: Question, read: Callable[[str], T]) -> Reply[T]:
        try:
            body = self._body(question, None if question.image is None else question.image())
        except SampleFailure as failure:
            return Reply(None, CaptionFailure(failure.failure_class, "decode", failure.message), Spent())
        before = self._cache.find(key)
        asking = _Asking(self, key, question, read, 0 if before is None else json.loads(before.answer)["round"] + 1)
        try:
            return Reply(self._post(body, asking.read, asking.attempt), None, asking.spent)
        except _NotAskedError:
            return self._left_unasked(asking.spent)
        except SampleFailure as failure:
            kind = asking.kind or (_KINDS[failure.kind] if isinstance(failure, PostFailure) else "schema")
            return Reply(None, CaptionFailure("api", kind, failure.message), asking.spent)

    def _left_unasked(self, spent: Spent | None = None) -> Reply[Any]:
        with self._lock:
            self._unasked += 1
        why = "not asked: the budget is used up" if self._stopped else "not asked: the run was interrupted"
        return Reply(None, CaptionFailure("api", "budget", why), spent or Spent())

    def _largest_try(self, guess: int) -> Amount:
        """What a try takes at most: as many tokens in as any so far took, here or elsewhere, and the longest answer."""
        tokens_in = self._cache.largest_in(self._scope) or guess
        tokens_out = self._config.max_tokens
        price = self._config.price
        return Amount(1, tokens_in + tokens_out, 0.0 if price is None else price.of(tokens_in, tokens_out))

    def _guess(self, question: Question) -> int:
        """Tokens of a question before any was counted: a token has at least 3 bytes in most tokenizers."""
        text = len(question.text.encode()) + len((question.system or "").encode())
        return text // 3 + 16 + (self._config.image_tokens if question.image_name else 0)

    def _sleep(self, seconds: float) -> None:
        if self.interrupted.wait(seconds):
            raise _NotAskedError("api", "")

    def _set_aside(self, key: str, guess: int) -> None:
        """Wait until the budget bears the try beside those in flight, or raise."""
        while not self._stopped and not self.interrupted.is_set():
            with self._cache.at_once():  # what others learn while this one waits counts for it
                state = self._cache.set_aside(key, self._largest_try(guess), self._config.budget)
            if state == "go":
                return
            if state == "stop":
                self._stopped = True
            else:
                self._cache.sweep()
                self.interrupted.wait(_POLL)
        raise _NotAskedError("api", "")

    def _body(self, question: Question, image: str | None) -> dict[str, Any]:
        config = self._config
        content: list[dict[str, Any]] = [{"type": "text", "text": question.text}]
        if image is not None:
            content.append({"type": "image_url", "image_url": {"url": image}})
        user: str | list[dict[str, Any]] = content if image is not None else question.text
        messages: list[dict[str, Any]] = [{"role": "user", "content": user}]
        if question.system is not None:
            messages.insert(0, {"role": "system", "content": question.system})
        body: dict[str, Any] = {"model": config.model, "messages": messages, config.max_tokens_field: config.max_tokens}
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if config.seed is not None:
            body["seed"] = config.seed
        if question.response_format is not None:
            body["response_format"] = question.response_format
        return body | config.extra

    def _key(self, question: Question) -> str:
        named = [self._url, self._config.revision, self._body(question, question.image_name)]
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


class _NotAskedError(FinalFailure):
    """This try is not to be made."""


@dataclass
class _Asking(Generic[T]):
    """One question on its way: what its tries have taken so far."""

    service: ChatService
    key: str
    question: Question
    reader: Callable[[str], T]
    round: int  # how often it was asked before, in vain: a service that heeds keys must not tell the same again
    kind: FailureKind | None = None  # of the last answer that was none
    attempts: int = 0
    answers: int = 0
    usage: tuple[int, int] | None = None  # tokens in and out of the try at hand
    told: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    text: str = ""
    seconds: float = 0.0

    @property
    def spent(self) -> Spent:
        tokens_in = sum(one for one, _ in self.told) if self.told else None
        tokens_out = sum(one for _, one in self.told) if self.told else None
        return Spent(self.attempts, tokens_in, tokens_out, self._cost(), self.seconds)

    def _cost(self) -> float | None:
        price = self.service._config.price
        return round(sum(price.of(*one) for one in self.told), 12) if price is not None and self.told else None

    @contextmanager
    def attempt(self, tried: int) -> Generator[Mapping[str, str]]:
        """Around one try: wait for its turn, set its worst aside, and count what it took together with its answer."""
        service = self.service
        guess = service._guess(self.question)
        correct = service._pace.start(service._largest_try(guess).tokens)
        service._set_aside(self.key, guess)
        self.attempts, self.usage, self.kind = tried, None, None
        began = time.monotonic()
        try:
            yield {"Idempotency-Key": f"{self.key}-{self.round}-{self.answers}"}
        except Passing as trouble:
            self.seconds = time.monotonic() - began
            if trouble.kind == "rate" and trouble.retry_after is not None:
                service._pace.pause(min(trouble.retry_after, service._config.limits.longest_wait))
            last = tried == service._config.limits.tries and trouble.kind == "answer"
            self._settle(correct, trouble.kind in _FREE, self._bad(trouble.reason) if last else None)
            raise
        except FinalFailure as failure:
            self.seconds = time.monotonic() - began
            self._settle(correct, False, self._bad(failure.message))
            raise
        except BaseException as error:  # a refused input, a wrong key, the end of the process: no answer to pay for
            self.seconds = time.monotonic() - began
            self._settle(correct, isinstance(error, PostFailure | SluiceError), None)
            raise
        self.seconds = time.monotonic() - began
        self._settle(correct, False, {"text": self.text})

    def read(self, answer: object) -> T:
        """The value in an answer; how it failed is remembered for the record."""
        self.answers += 1
        self.usage = _usage(answer)
        if self.usage is not None:
            self.told.append(self.usage)
        try:
            self.text = _text(answer)
            return self.reader(self.text)
        except UnreadableError as error:
            self.kind = error.kind
            kind = FinalFailure if error.kind in ("refused", "cut") else SampleFailure
            raise kind("api", f"{self.service._url}: {error.message}") from error

    def _bad(self, message: str) -> dict[str, Any]:
        return {"kind": self.kind or "schema", "message": message, "round": self.round}

    def _settle(self, correct: Callable[[int], None], free: bool, fields: dict[str, Any] | None) -> None:
        """Count the try, and store what is to be told again, in one transaction."""
        took: Amount | None = Amount(1) if free else None
        price = self.service._config.price
        if self.usage is not None:
            took = Amount(1, sum(self.usage), 0.0 if price is None else price.of(*self.usage))
        if took is not None:
            correct(took.tokens)
        kept = None
        if fields is not None:
            spent = self.spent
            kept = Answer(
                json.dumps(fields, ensure_ascii=False),
                "text" in fields,
                spent.attempts,
                spent.tokens_in,
                spent.tokens_out,
                spent.cost,
                spent.seconds,
            )
        self.service._cache.settle(self.key, took, kept, self.usage[0] if self.usage else 0)


def _usage(answer: object) -> tuple[int, int] | None:
    """Tokens in and out, where the service says both."""
    usage: object = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(usage, dict):
        return None
    tokens_in, tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(tokens_in, int) or not isinstance(tokens_out, int) or tokens_in < 0 or tokens_out < 0:
        return None
    return tokens_in, tokens_out


def _text(answer: object) -> str:
    """The text of the first choice; `UnreadableError` where it is refused, cut or not there."""
    choices: object = answer.get("choices") if isinstance(answer, dict) else None
    first: object = choices[0] if isinstance(choices, list) and choices else None
    message: object = first.get("message") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(message, dict):
        raise UnreadableError("schema", "the answer has no message under 'choices'")
    refusal: object = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise UnreadableError("refused", f"the model will not: {refusal[:120]}")
    finish: object = first.get("finish_reason")
    if finish == "content_filter":
        raise UnreadableError("refused", "the service's filter took the answer (finish_reason content_filter)")
    if finish == "length":
        raise UnreadableError("cut", "the answer is cut (finish_reason length): raise max_tokens")
    content: object = message.get("content")
    if isinstance(content, list):  # parts, as some services give them
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if content is None or (isinstance(content, str) and not content.strip()):
        raise UnreadableError("empty", "the answer has no text")
    if not isinstance(content, str):
        raise UnreadableError("schema", "the content of the answer is no text")
    return content
