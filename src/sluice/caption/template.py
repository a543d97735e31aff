"""Captions from what a sample says of itself: alt text, product attributes, boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sluice.caption.base import Caption, CaptionerIdentity, CaptionFailure, CaptionOutcome, CaptionRequest
from sluice.caption.config import TemplateConfig
from sluice.caption.gaps import Gaps, MissingFieldError
from sluice.errors import RecipeError
from sluice.table.ids import fingerprint

_VERSION: Final = "template/1"


class TemplateCaptioner:
    """Fills a template with the fields of each sample. It costs nothing and sees no image."""

    def __init__(self, config: TemplateConfig) -> None:
        if config.kind in ("grounded", "qa"):
            raise RecipeError(f"captioner {config.name}: a template makes texts, and no boxes or questions")
        self._gaps = Gaps(config.template)
        self.identity: Final = CaptionerIdentity(
            name=config.name,
            model="template",
            revision=_VERSION,
            kind=config.kind,
            prompt=config.template,
            prompt_version=config.version,
            temperature=None,
            seed=None,
            fingerprint=fingerprint(_VERSION, config.template, config.version, config.kind),
        )
        self.stopped: str | None = None
        self.notes: tuple[str, ...] = ()

    def caption(self, requests: Iterable[CaptionRequest]) -> Iterator[CaptionOutcome]:
        """An outcome for each request, in order."""
        return map(self._one, requests)

    def close(self) -> None:
        """Nothing is held."""

    def _one(self, request: CaptionRequest) -> CaptionOutcome:
        try:
            text = " ".join(self._gaps.filled(request.fields).split())
        except MissingFieldError as error:
            missing = f"the template needs the field {error}, which this sample lacks"
            return CaptionOutcome(request.id, failure=CaptionFailure("model", "field", missing))
        if not text:
            return CaptionOutcome(request.id, failure=CaptionFailure("model", "empty", "the template gave no text"))
        return CaptionOutcome(request.id, (Caption(text, self.identity.kind, language=request.language),))
