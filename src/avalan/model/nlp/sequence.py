"""Text to text with an encoder and a decoder: summaries, translations.

The beam search is that of transformers.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

from avalan.errors import ConfigurationError, ModelError
from avalan.locale import _n
from avalan.model.decode.sampling import check_settings
from avalan.model.decode.text import StopScanner
from avalan.model.entities import GenerationSettings
from avalan.model.nlp.languages import find_language, is_language
from avalan.model.task import Task, TaskModel

if TYPE_CHECKING:
    from avalan.model.pretrained import Pretrained

_REWRITING = Task(
    does=_n("turns a text into another"),
    example="facebook/bart-large-cnn",
    extra="transformers",
    model_class="AutoModelForSeq2SeqLM",
    known_classes="MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    processor_class="AutoTokenizer",
    # transformers reads the file of a sentencepiece tokenizer with both.
    converters=("sentencepiece", "google.protobuf"),
)


class SequenceToSequenceModel(TaskModel):
    """A model such as BART that rewrites a text; load it with `with`, then call it.

    Example:
        ```python
        with SequenceToSequenceModel("facebook/bart-large-cnn") as summarise:
            print(await summarise(article, GenerationSettings(num_beams=4, max_length=60)))
        ```
    """

    task = _REWRITING

    async def __call__(self, text: str, settings: GenerationSettings | None = None) -> str:
        """What the model makes of `text`.

        Args:
            settings: how; what they leave open, and None as a whole, is as the model says.

        Raises:
            ConfigurationError: the text is empty, or a setting cannot be honoured.
            ModelError: the text is longer than the model can read.
        """
        _check(text, settings)
        return await self._run(_write, text, settings)


class TranslationModel(TaskModel):
    """A model such as mBART-50 that knows languages by their codes; load it with `with`.

    Example:
        ```python
        with TranslationModel("facebook/mbart-large-50-many-to-many-mmt") as translate:
            print(await translate("Hello.", source_language="en", destination_language="es"))
        ```
    """

    task = replace(
        _REWRITING,
        does=_n("translates between languages"),
        example="facebook/mbart-large-50-many-to-many-mmt",
        extra="translation",
    )

    async def __call__(
        self,
        text: str,
        *,
        source_language: str,
        destination_language: str,
        settings: GenerationSettings | None = None,
    ) -> str:
        """`text` in another language.

        Args:
            source_language, destination_language: codes such as `en_XX`; `en` and `en_US` mean
                the same where the model has one English.
            settings: as for `SequenceToSequenceModel`.

        Raises:
            ConfigurationError: the text is empty, the model does not know a language, or a setting
                cannot be honoured.
            ModelError: the text is longer than the model can read, or the model knows no languages.
        """
        _check(text, settings)
        return await self._run(_translate, text, settings, source_language, destination_language)


def _check(text: str, settings: GenerationSettings | None) -> None:
    if not text.strip():
        raise ConfigurationError("The text is empty; give one with at least one word.")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigurationError(
            "The text has half a character (a lone surrogate); decode it again from its bytes."
        )
    if settings is not None:
        check_settings(settings)
        if settings.num_alternatives:
            raise ConfigurationError(
                "The setting num_alternatives reports the tokens beside each token, but a "
                "sequence-to-sequence model gives a whole text; leave it at 0."
            )


def _translate(
    loaded: "Pretrained",
    cancelled: Event,
    text: str,
    settings: GenerationSettings | None,
    source: str,
    destination: str,
) -> str:
    codes = _languages(loaded)
    loaded.processor.src_lang = find_language(source, codes, model=loaded.name)
    target = codes[find_language(destination, codes, model=loaded.name)]
    return _write(loaded, cancelled, text, settings, forced_bos_token_id=target)


def _write(
    loaded: "Pretrained",
    cancelled: Event,
    text: str,
    settings: GenerationSettings | None,
    **options: Any,
) -> str:
    """The model's text for `text`, whose language is set already."""
    config = loaded.model.config
    longest = getattr(config, "max_position_embeddings", None)
    options |= decoding_options(settings, loaded.model.generation_config.to_dict(), longest)
    inputs = _encode(loaded, text)
    num_tokens = inputs["input_ids"].shape[1]
    if longest is not None and num_tokens > longest:
        raise ModelError(
            "The text has {num_tokens:,} tokens, but {model!r} reads at most {longest:,}, "
            "{excess:,} fewer; shorten the text or give it in parts.",
            num_tokens=num_tokens,
            model=loaded.name,
            longest=longest,
            excess=num_tokens - longest,
        )
    given = settings or GenerationSettings()
    seed = given.seed if given.samples else None
    token_ids = loaded.generate(inputs, options, cancelled=cancelled, seed=seed)
    written: str = loaded.processor.decode(token_ids, skip_special_tokens=given.skip_special_tokens)
    scanner = StopScanner(given.stop_strings)
    return (scanner.push(written) + scanner.flush()).strip()


def decoding_options(
    settings: GenerationSettings | None, own: Mapping[str, Any], longest: int | None
) -> dict[str, Any]:
    """`settings` as fields of transformers' generation configuration.

    Args:
        settings: None for everything as the model says.
        own: the model's own configuration.
        longest: tokens that the decoder can hold, its start token among them; None for any number.

    Raises:
        ConfigurationError: the settings contradict each other or the model.
    """
    given = settings or GenerationSettings()
    limit = given.max_new_tokens + 1 if given.max_length is None else given.max_length
    if settings is None and own.get("max_length"):
        limit = int(own["max_length"])
    limit = limit if longest is None else min(limit, longest)
    least = given.min_length or 0
    if limit < 2 or least > limit:
        raise ConfigurationError(
            "An answer of at most {limit} tokens, its start token among them, cannot have "
            "{least}; raise max_length or lower min_length.",
            limit=limit,
            least=max(least, 2),
        )
    if given.min_length is None:
        least = min(own.get("min_length") or 0, limit)
    options = {"max_length": limit, "max_new_tokens": None, "min_length": least}
    return options if settings is None else options | _search(settings, own) | _draws(settings)


def _search(settings: GenerationSettings, own: Mapping[str, Any]) -> dict[str, Any]:
    num_beams = settings.num_beams or own.get("num_beams") or 1
    named = {
        "early_stopping": settings.early_stopping,
        "length_penalty": settings.length_penalty,
        "repetition_penalty": settings.repetition_penalty,
    }
    given = {name: value for name, value in named.items() if value is not None}
    of_beams = given.keys() & {"early_stopping", "length_penalty"}
    if num_beams == 1 and of_beams:
        raise ConfigurationError(
            "The setting {setting} chooses among beams, but there is only one; set num_beams "
            "to 2 or more.",
            setting=min(of_beams),
        )
    return {"num_beams": num_beams, "use_cache": settings.use_cache, **given}


def _draws(settings: GenerationSettings) -> dict[str, Any]:
    """How tokens are drawn; what is left open filters nothing, whatever transformers would do."""
    if not settings.samples:
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": 1.0 if settings.temperature is None else settings.temperature,
        "top_k": 0 if settings.top_k is None else settings.top_k,
        "top_p": 1.0 if settings.top_p is None else settings.top_p,
        "min_p": settings.min_p,
    }


def _encode(loaded: "Pretrained", text: str) -> Mapping[str, Any]:
    """`text` as the encoder reads it; nothing in the text itself becomes a control token."""
    tokenizer = loaded.processor
    controls = _controls(tokenizer)
    control_ids = set(controls.values()) - {tokenizer.unk_token_id}

    def is_plain(text: str) -> bool:
        encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return control_ids.isdisjoint(encoded["input_ids"])

    if not is_plain(text):
        # The pieces of a unigram vocabulary hold the names of its control tokens too.
        names = "|".join(map(re.escape, controls))
        text = re.sub(names, lambda found: f"{found[0][:1]} {found[0][1:]}", text)
        if not is_plain(text):
            raise ConfigurationError(
                "The text holds the name of a special token of {model!r}, such as "
                "{eos_token!r}; take it out.",
                model=loaded.name,
                eos_token=tokenizer.eos_token,
            )
    encoded: Mapping[str, Any] = tokenizer(text, split_special_tokens=True, return_tensors="pt")
    return encoded


def _controls(tokenizer: Any) -> dict[str, int]:
    """The control tokens, by name → their ids."""
    named = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    added = tokenizer.added_tokens_decoder.items()
    return named | {token.content: token_id for token_id, token in added if token.special}


def _languages(loaded: "Pretrained") -> dict[str, int]:
    """The languages that a tokenizer can be told → their token ids."""
    tokenizer = loaded.processor
    codes = {name: row for name, row in _controls(tokenizer).items() if is_language(name)}
    # M2M100 writes its tokens otherwise than its codes.
    codes |= getattr(tokenizer, "lang_code_to_id", {})
    known = {code: row for code, row in codes.items() if row != tokenizer.unk_token_id}
    if not known or not hasattr(tokenizer, "src_lang"):
        raise ModelError(
            "The model {model!r} has no languages to choose from; call it as a "
            "SequenceToSequenceModel, or take one such as {example!r}.",
            model=loaded.name,
            example=TranslationModel.task.example,
        )
    return known
