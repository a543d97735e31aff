"""From what a recipe says to a captioner that is ready."""

from __future__ import annotations

from sluice.caption.base import Captioner
from sluice.caption.cache import AnswerCache
from sluice.caption.config import CaptionerConfig, ChatConfig, PluginConfig, TemplateConfig
from sluice.models.offline import Say, say


def load_captioner(
    config: CaptionerConfig, cache: AnswerCache, *, scope: str = "", again: bool = False, say: Say = say
) -> Captioner:
    """The captioner that `config` names. The cache is the caller's to close.

    Its budget is that of `scope` and its name in `cache`, over all processes: a run gives its own id, and a cache
    that several runs share keeps their budgets apart and their answers together. `again`: ask anew what brought an
    answer that was none (refused, cut, of another shape).
    """
    if isinstance(config, ChatConfig):
        from sluice.caption.chat import ChatCaptioner
        from sluice.caption.chat_service import ChatService

        return ChatCaptioner(config, ChatService(config, cache, scope=f"{scope}/{config.name}", again=again))
    if isinstance(config, TemplateConfig):
        from sluice.caption.template import TemplateCaptioner

        return TemplateCaptioner(config)
    if isinstance(config, PluginConfig):
        from sluice.caption.plugin import PluginCaptioner

        return PluginCaptioner(config)
    from sluice.caption.image_text import load_image_text

    return load_image_text(config, cache, again=again, say=say)
