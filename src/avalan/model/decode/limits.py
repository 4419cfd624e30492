"""Settings of a generation as one answer, made token by token, can honour them."""

from dataclasses import replace

from avalan.errors import ConfigurationError
from avalan.model.entities import GenerationSettings


def for_one_answer(settings: GenerationSettings, num_prompt_tokens: int) -> GenerationSettings:
    """`settings` with `max_length` turned into `max_new_tokens`.

    As in transformers, `max_length` counts the prompt; unlike there, a prompt that leaves no room
    is refused, and so is what only a beam search could honour.

    Raises:
        ConfigurationError: the prompt is as long as `max_length`, or a setting is for
            sequence-to-sequence models.
    """
    for name, is_used in _beyond(settings).items():
        if is_used:
            raise ConfigurationError(
                "The setting {name} is {value}, but text generation makes one answer, token "
                "by token, and has no use for it; leave it open, or use a "
                "sequence-to-sequence model.",
                name=name,
                value=getattr(settings, name),
            )
    if settings.max_length is None:
        return settings
    room = settings.max_length - num_prompt_tokens
    if room < 1:
        raise ConfigurationError(
            "The setting max_length is {max_length} and counts the prompt, which has "
            "{num_prompt_tokens} tokens already; raise it, or set max_new_tokens instead.",
            max_length=settings.max_length,
            num_prompt_tokens=num_prompt_tokens,
        )
    return replace(settings, max_new_tokens=room, max_length=None)


def _beyond(settings: GenerationSettings) -> dict[str, bool]:
    return {
        "num_beams": (settings.num_beams or 1) > 1,
        "early_stopping": bool(settings.early_stopping),
        "length_penalty": settings.length_penalty is not None,
        "min_length": bool(settings.min_length),
    }
