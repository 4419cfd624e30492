"""One turn of an agent: an input in, the stream of its answer out."""

from typing import Self

from avalan.agent.prompt import system_prompt
from avalan.agent.specification import AgentSpecification
from avalan.errors import ModelError
from avalan.model.load import Model
from avalan.model.nlp.stream import TokenStream
from avalan.model.nlp.text import TextGenerationModel, conversation


class Agent:
    """A specification with a model to play it; load it with `with`, then call it.

    Example:
        ```python
        with Agent(load_specification("translator.toml")) as agent:
            async for token in await agent("Good morning"):
                print(token, end="", flush=True)
        ```
    """

    def __init__(self, specification: AgentSpecification, model: Model | None = None) -> None:
        """
        Args:
            specification: who the agent is.
            model: one that is open already, which stays open; left open, the specification's.

        Raises:
            ConfigurationError: a text of the specification cannot be used; see `system_prompt`.
        """
        self.specification = specification
        self.system_prompt = system_prompt(specification)
        """What the model is told before each input."""
        self._lm = TextGenerationModel(model or specification.model, specification.engine)

    @property
    def model(self) -> Model:
        """The loaded model.

        Raises:
            ConfigurationError: it is not loaded.
        """
        return self._lm.model

    def __enter__(self) -> Self:
        self._lm.open()
        return self

    def __exit__(self, *_args: object) -> None:
        self._lm.close()

    async def __call__(self, text: str) -> TokenStream:
        """Start the answer to `text`.

        Returns:
            The tokens as they come; its `report` is filled meanwhile.

        Raises:
            ConfigurationError: the agent is not loaded, or a setting is out of its range.
            ModelError: the prompt does not fit the model, or its template refuses it.
        """
        self._check_room(text)
        return await self._lm(
            text, system_prompt=self.system_prompt, settings=self.specification.run
        )

    def _check_room(self, text: str) -> None:
        """Raise where the prompt alone is longer than what the model can read."""
        model = self._lm.model
        own = len(model.tokenizer.encode(self.system_prompt))
        messages = model.tokenizer.fit(conversation(text, self.system_prompt))
        both = len(model.tokenizer.encode_chat(messages))
        room = model.engine.context_length
        if both > room:
            raise ModelError(
                "The model {name!r} reads at most {room} tokens, but this prompt has {both} "
                "({own} of them describe the agent); shorten the input, or name a model with a "
                "longer context in [engine].",
                name=model.name,
                room=room,
                both=both,
                own=own,
            )
