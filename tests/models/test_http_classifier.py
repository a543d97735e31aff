"""The adapter of a classifier against a server of our own: what it could not score is unscored, never zero."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sluice.errors import SluiceError
from sluice.models.http_classifier import ClassifierConfig, HttpClassifier
from sluice.models.http_post import Poster
from support.classifier import LABELS, Service, right
from support.corpus import encoded, picture


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


def classifier(service: Service, **changes: Any) -> HttpClassifier:
    config = ClassifierConfig(**{"url": service.url, "model": "m", "labels": LABELS, "batch": 4, **changes})
    poster = Poster(
        f"{config.url}/moderations", key_variable=None, timeout=10, tries=2, longest_wait=1, sleep=lambda _: None
    )
    return HttpClassifier(config, poster)


def test_texts_are_scored_in_their_order_whatever_the_batch(service: Service) -> None:
    texts = [f"a text of {'x' * number}" for number in range(11)]
    scores, errors = classifier(service).score_texts(texts)
    alone, _ = classifier(service, batch=1).score_texts(texts)
    assert scores.shape == (11, 2)
    assert scores.dtype == np.float32
    assert errors == [None] * 11
    np.testing.assert_array_equal(scores, alone)
    assert service.requests[0]["path"] == "/v1/moderations"
    assert service.requests[0]["input"] == texts[:4]


def test_images_go_one_by_one_as_the_bytes_that_they_are(service: Service) -> None:
    images = [encoded(picture(0)), encoded(picture(1), "PNG"), b"no image"]
    scores, errors = classifier(service).score_images(images)
    assert np.isfinite(scores[:2]).all()
    assert np.isnan(scores[2]).all()
    assert errors[2] == "decode: the service takes JPEG, PNG, GIF and WebP"
    urls = [request["input"][0]["image_url"]["url"] for request in service.requests]
    assert [base64.b64decode(url.partition(",")[2]) for url in urls] == images[:2]
    assert urls[1].startswith("data:image/png;")


def test_one_text_that_is_refused_costs_no_other_its_score(service: Service) -> None:
    def refusing(body: dict[str, Any]) -> tuple[int, Any]:
        return (400, {"error": {"message": "too long"}}) if "t6" in body["input"] else (200, right(body))

    service.script = [refusing] * 20
    scores, errors = classifier(service).score_texts([f"t{number}" for number in range(12)])
    assert np.flatnonzero(np.isnan(scores).any(axis=1)).tolist() == [6]
    assert errors[6] == f"api: {service.url}/moderations: HTTP 400: too long"
    assert errors[:6] + errors[7:] == [None] * 11


def test_a_service_that_is_down_costs_the_batch_and_is_not_asked_for_each_of_it(service: Service) -> None:
    service.script = [lambda body: (503, {})] * 2
    scores, errors = classifier(service).score_texts([f"t{number}" for number in range(8)])
    assert np.isnan(scores[:4]).all() and np.isfinite(scores[4:]).all()
    assert len(service.requests) == 3 and None not in errors[:4]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "no list under 'results'"),
        ({"results": []}, "0 results for 1 inputs"),
        ({"results": [{"category_scores": {"violence": 0.5}}]}, "no score for 'sexual'"),
        ({"results": [{"category_scores": {"violence": True, "sexual": 0.1}}]}, "no score for 'violence'"),
        ({"results": [{"category_scores": {"violence": float("nan"), "sexual": 0.1}}]}, "no score for 'violence'"),
        ({"results": ["high"]}, "no score for 'violence'"),
        ("fine", "no list under 'results'"),
    ],
)
def test_an_answer_without_a_score_is_unscored_and_says_so(service: Service, answer: Any, says: str) -> None:
    service.script = [lambda body: (200, answer)] * 2
    scores, errors = classifier(service).score_texts(["a"])
    assert np.isnan(scores).all()
    assert errors[0] is not None
    assert says in errors[0]


def test_a_passing_trouble_is_tried_again(service: Service) -> None:
    service.script = [lambda body: (503, {})]
    scores, errors = classifier(service).score_texts(["a"])
    assert np.isfinite(scores).all()
    assert errors == [None]


def test_what_is_asked_of_whom_names_it(service: Service) -> None:
    one, other = classifier(service), classifier(service, model="n")
    assert one.identity.hash == classifier(service, batch=9).identity.hash
    assert one.identity.hash != other.identity.hash
    with pytest.raises(SluiceError, match="was asked for"):
        classifier(service, hash="0" * 32)
