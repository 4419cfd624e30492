"""Text generation: words in, a stream of tokens out."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Self

from avalan.errors import ConfigurationError
from avalan.model.entities import (
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
        model = self.model
        asked = conversation(prompt, system_prompt)
        if "token_prompt" in model.engine.capabilities:
            messages = model.tokenizer.fit(asked)
            token_ids = model.tokenizer.encode_chat(messages)
            report = GenerationReport(system_merged=messages is not asked)
            tokens = generate(model, token_ids, settings=settings, report=report)
            tokens = _told_apart(tokens, model.tokenizer, messages, settings, report)
        else:  # The server has the template, and tells reasoning apart itself.
            report = GenerationReport()
            tokens = generate(model, asked, settings=settings, report=report)
        loop = asyncio.get_running_loop()
        return TokenStream(tokens, report, loop=loop, running=self._running)


def conversation(prompt: str | Sequence[Message], system_prompt: str | None) -> list[Message]:
    """The messages of a prompt, the system prompt first if there is one."""
    messages = [Message(role="user", content=prompt)] if isinstance(prompt, str) else list(prompt)
    if system_prompt is None:
        return messages
    return [Message(role="system", content=system_prompt), *messages]


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
