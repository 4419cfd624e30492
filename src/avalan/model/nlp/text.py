"""Text generation: words in, a stream of tokens out."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Self

from avalan.errors import AvalanError, ConfigurationError, ModelError
from avalan.model.decode.batch import Answered, decode_batch
from avalan.model.engine import SteppingEngine
from avalan.model.entities import (
    BATCH_SIZE,
    EngineSettings,
    GenerationReport,
    GenerationSettings,
    Message,
    Token,
)
from avalan.model.generate import generate
from avalan.model.load import DEFAULT, Model, open_model
from avalan.model.nlp import reasoning
from avalan.model.nlp.stream import TokenStream
from avalan.model.prompt import Tokenizer


class TextGenerationModel:
    """A language model, by name; load it with `with`, then call it.

    Example:
        ```python
        with TextGenerationModel("bundled") as lm:
            async for token in await lm("Who are you?"):
                print(token, end="", flush=True)
        ```
    """

    def __init__(self, name: str | Model = DEFAULT, settings: EngineSettings | None = None) -> None:
        """
        Args:
            name: as in `open_model`; or a model that is open already, which stays open.
            settings: how to load it.
        """
        self._name = name
        self._settings = settings
        self._model = name if isinstance(name, Model) else None
        self._running: set[TokenStream] = set()

    @property
    def model(self) -> Model:
        """The loaded model.

        Raises:
            ConfigurationError: it is not loaded.
        """
        if self._model is None:
            raise ConfigurationError(
                "The model is not loaded; call it inside: with TextGenerationModel(…) as lm."
            )
        return self._model

    def open(self) -> Self:
        """Load the model, for callers that do not use `with`; `close` frees it."""
        if self._model is None:
            assert isinstance(self._name, str)
            self._model = open_model(self._name, self._settings)
        return self

    def close(self) -> None:
        """End running generations and free the model."""
        running = tuple(self._running)
        for stream in running:
            stream.cancel()
        for stream in running:
            stream.join()
        if self._model is not None and not isinstance(self._name, Model):
            self._model.close()
            self._model = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_args: object) -> None:
        self.close()

    async def __call__(
        self,
        prompt: str | Sequence[Message],
        *,
        system_prompt: str | None = None,
        settings: GenerationSettings | None = None,
    ) -> TokenStream:
        """Start an answer to `prompt`, a text or a conversation.

        Returns:
            The tokens as they come, those of the model's reasoning marked so; its `report` is
            filled meanwhile.

        Raises:
            ConfigurationError: a setting is out of its range.
            ModelError: the conversation does not fit the model, here or while iterating.
        """
        settings = settings or GenerationSettings()
        tokens, report = self._start(conversation(prompt, system_prompt), settings)
        loop = asyncio.get_running_loop()
        return TokenStream(tokens, report, loop=loop, running=self._running)

    def answer_all(
        self,
        prompts: Sequence[str | Sequence[Message]],
        *,
        system_prompt: str | None = None,
        settings: GenerationSettings | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[tuple[int, Answered | AvalanError]]:
        """Answer many prompts, several at a time where the engine can; each is independent.

        Yields:
            A prompt's index with its answer, or with what was wrong with it; in no certain order.

        Raises:
            ConfigurationError: a setting is out of its range.
        """
        settings = settings or GenerationSettings()
        asked = [conversation(prompt, system_prompt) for prompt in prompts]
        if isinstance(self.model.engine, SteppingEngine):
            return self._decode_all(self.model.engine, asked, settings, batch_size)
        return self._ask_all(asked, settings, batch_size)

    def _decode_all(
        self,
        engine: SteppingEngine,
        asked: Sequence[Sequence[Message]],
        settings: GenerationSettings,
        batch_size: int,
    ) -> Iterator[tuple[int, Answered | AvalanError]]:
        tokenizer = self.model.tokenizer
        prompts: dict[int, list[int]] = {}
        for index, messages in enumerate(asked):
            try:
                _check_length(self.model, messages)
                prompts[index] = tokenizer.encode_chat(tokenizer.fit(messages))
            except AvalanError as error:
                yield index, error.with_traceback(None)
        indices = list(prompts)
        answers = decode_batch(
            engine,
            list(prompts.values()),
            tokenizer=tokenizer,
            settings=settings,
            batch_size=batch_size,
        )
        for position, answer in answers:
            index = indices[position]
            if isinstance(answer, Answered):
                answer.report.engine = self.model.engine_name
                tokens = iter(answer.tokens)
                told = _told_apart(tokens, tokenizer, asked[index], settings, answer.report)
                answer = replace(answer, tokens=tuple(told))
            yield index, answer

    def _ask_all(
        self, asked: Sequence[Sequence[Message]], settings: GenerationSettings, batch_size: int
    ) -> Iterator[tuple[int, Answered | AvalanError]]:
        """Of an engine that decodes by itself: as many requests at a time."""

        def ask(index: int) -> tuple[int, Answered | AvalanError]:
            try:
                tokens, report = self._start(asked[index], settings)
                return index, Answered(tokens=tuple(tokens), report=report)
            except AvalanError as error:
                return index, error.with_traceback(None)

        with ThreadPoolExecutor(batch_size) as pool:
            for done in as_completed([pool.submit(ask, index) for index in range(len(asked))]):
                yield done.result()

    def _start(
        self, asked: Sequence[Message], settings: GenerationSettings
    ) -> tuple[Iterator[Token], GenerationReport]:
        """The tokens of an answer, those of the model's reasoning marked so, and its report."""
        model = self.model
        if "token_prompt" not in model.engine.capabilities:
            # The server has the template, and tells reasoning apart itself.
            report = GenerationReport()
            return generate(model, asked, settings=settings, report=report), report
        _check_length(model, asked)
        messages = model.tokenizer.fit(asked)
        report = GenerationReport(system_merged=messages is not asked)
        token_ids = model.tokenizer.encode_chat(messages)
        goes_on = settings.use_cache and any(each.role == "assistant" for each in asked)
        tokens = generate(model, token_ids, settings=settings, report=report, goes_on=goes_on)
        return _told_apart(tokens, model.tokenizer, messages, settings, report), report


def conversation(prompt: str | Sequence[Message], system_prompt: str | None) -> list[Message]:
    """The messages of a prompt, the system prompt first if there is one."""
    messages = [Message(role="user", content=prompt)] if isinstance(prompt, str) else list(prompt)
    if system_prompt is None:
        return messages
    return [Message(role="system", content=system_prompt), *messages]


def _check_length(model: Model, messages: Sequence[Message]) -> None:
    """Refuse at once what cannot fit, since encoding megabytes takes minutes.

    Raises:
        ModelError: the last message alone is too long, however it is encoded.
    """
    if not messages:
        return
    # Templates may cut spaces off, and reasoning out of messages before the last.
    least = model.tokenizer.least_tokens(messages[-1].content.strip())
    if least > model.engine.context_length:
        raise ModelError(
            "The model reads at most {context_length:,} tokens, but the prompt has at least "
            "{least:,}; shorten it, or choose a model with a longer context.",
            context_length=model.engine.context_length,
            least=least,
        )


def _told_apart(
    tokens: Iterator[Token],
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    settings: GenerationSettings,
    report: GenerationReport,
) -> Iterator[Token]:
    """The tokens, those of the reasoning marked, if the model reasons."""
    blocks = reasoning.find_blocks(tokenizer.chat_template, tokenizer.added_tokens)
    if not blocks and not settings.start_thinking:
        return tokens
    opened = reasoning.find_opened(blocks, tokenizer.generation_prompt(messages))
    if settings.start_thinking and (opened is None or not opened.reasoning):
        opened = next((block for block in blocks if block.reasoning), reasoning.THINK)
    all_blocks = blocks if opened is None else (*blocks, opened)
    tags = "\n".join(tag for block in all_blocks for tag in (block.open, block.close))
    hidden = {
        token_id: text
        for text, token_id in tokenizer.added_tokens.items()
        if settings.skip_special_tokens and token_id in tokenizer.special_ids and text in tags
    }
    return reasoning.split_tokens(
        tokens,
        reasoning.Splitter(blocks, opened),
        hidden=hidden,
        is_last=lambda: report.finish_reason not in (None, "interrupted"),
    )
