"""Writes an answer: sentence by sentence with any model that reads token ids, else at once.

What is told is a conversation: the question with a passage is a turn, and a passage that comes in
the middle of an answer is a turn of its own, after which the model goes on. So every prompt is what
chat models know, and what was read is never read again: a state only grows.

A server that reads messages alone cannot be stopped and gone on with: its answer comes at once,
from the best passages together, and is taken apart afterwards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isnan

from avalan.errors import AvalanError
from avalan.model.decode.batch import decode_batch
from avalan.model.decode.loop import decode
from avalan.model.engine import State, SteppingEngine
from avalan.model.entities import GenerationReport, GenerationSettings, Message, Token
from avalan.model.generate import generate
from avalan.model.load import Model
from avalan.reflection.instructions import withheld
from avalan.reflection.reading import PrefixReader, fitting, prompt_ids, prompt_of
from avalan.retrieval.entities import Passage
from avalan.retrieval.sentences import sentences

MAX_SENTENCE_TOKENS = 96
MAX_ANSWER_TOKENS = 256
_SPARE = 2 * MAX_SENTENCE_TOKENS
"""Tokens of the context that no passage takes."""
_LEAST_SHOWN = 96
"""Tokens of a passage, with what is said around it, that are worth showing."""

_ALONE = "Answer the question in one to three short sentences.\n\nQuestion: {question}"
_FROM = (
    "Answer the question from the passage, in one to three short sentences and in its words.\n\n"
    "Passage:\n{passage}\n\nQuestion: {question}"
)
_FROM_ALL = (
    "Answer the question from the passages, in one to three short sentences and in their words."
    "\n\n{passages}\n\nQuestion: {question}"
)
_GO_ON = "Go on with your answer from this passage; repeat nothing.\n\nPassage:\n{passage}"
_QUERY = (
    "A search for the question below found nothing. Write other words to search for, on one line "
    "and nothing else.\n\nQuestion: {question}"
)
MAX_LINE_TOKENS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A conversation up to somewhere in the model's answer."""

    turns: tuple[Message, ...]
    """The last one is the user's."""
    said: str = ""
    """What the model has answered to it so far."""
    token_ids: tuple[int, ...]
    """Of the turns and of what was said."""
    state: State | None = None
    """That has read them, but for the last; None where that is still to be done, or none is kept.
    """
    begun: Token | None = None
    """The first token of the next sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A piece of an answer."""

    text: str
    mean_logprob: float | None
    """Of its tokens, natural; None where the server does not tell."""
    is_last: bool
    """Whether the model ended its answer with it."""


class ChatWriter:
    """Writes with one model whose prompts are token ids."""

    goes_on = True
    """Whether it can be stopped at a sentence's end and go on from there."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model
        engine = model.engine
        self._reader = PrefixReader(engine) if isinstance(engine, SteppingEngine) else None
        self._forbidden = tuple(sorted(model.tokenizer.special_ids - model.tokenizer.eos_ids))
        """No sentence has a control token, whatever the model would say."""
        self.num_read = self.num_written = 0

    def begin(self, question: str, passage: Passage | None = None) -> Told:
        """The question as the first turn, with a passage where there is one."""
        if passage is None:
            text = _ALONE.format(question=question)
            return self._turn((Message(role="user", content=text),))

        def made(shown: str) -> list[Message]:
            text = _FROM.format(question=question, passage=shown)
            return [Message(role="user", content=text)]

        return self._turn(made(fitting(self._model, made, _shown(passage), spare=_SPARE)))

    def give(self, told: Told, passage: Passage) -> Told:
        """The same conversation, with a passage more."""
        said = Message(role="assistant", content=told.said.strip() or "…")

        def made(shown: str) -> list[Message]:
            turn = Message(role="user", content=_GO_ON.format(passage=shown))
            return [*told.turns, said, turn]

        return self._turn(made(fitting(self._model, made, _shown(passage), spare=_SPARE)))

    def has_room(self, told: Told) -> bool:
        """Whether a passage more would leave the context room for a sentence."""
        length = self._model.engine.context_length
        return not length or len(told.token_ids) + _LEAST_SHOWN + _SPARE <= length

    def sentence(self, told: Told) -> tuple[Sentence, Told]:
        """The next sentence, and the conversation with it; what was given stays as it is."""
        begun = [] if told.begun is None else [told.begun]
        prompt = [*told.token_ids, *(token.token_id for token in begun)]
        state = None
        if self._reader is not None and told.state is None:
            state = self._reader.read(prompt[:-1])[0]
        elif self._reader is not None and told.state is not None:
            state = self._reader.engine.fork(told.state)
        tokens = [*begun]
        for token in self._tokens(prompt, state):
            tokens.append(token)
            if _has_next(tokens):
                break
        self.num_read += len(prompt)
        return self._said(told, tokens, state)

    def sentences(self, tolds: Sequence[Told]) -> list[tuple[Sentence, Told]]:
        """The next sentence of each conversation; beginnings are written side by side.

        A batch keeps no state of one row: what is gone on with is read again, once.
        """
        engine = self._model.engine
        begins = all(told.state is None and told.begun is None for told in tolds)
        if self._reader is None or "batch" not in engine.capabilities or not begins:
            return [self.sentence(told) for told in tolds]
        found: dict[int, tuple[Sentence, Told]] = {}
        told_by_row = decode_batch(
            self._reader.engine,
            [told.token_ids for told in tolds],
            tokenizer=self._model.tokenizer,
            settings=self._settings(MAX_SENTENCE_TOKENS),
            until=_has_next,
        )
        for row, answered in told_by_row:
            if isinstance(answered, AvalanError):
                raise answered
            self.num_read += len(tolds[row].token_ids)
            found[row] = self._said(tolds[row], answered.tokens, None)
        return [found[row] for row in range(len(tolds))]

    def _said(
        self, told: Told, tokens: Sequence[Token], state: State | None
    ) -> tuple[Sentence, Told]:
        """The sentence that the tokens say, without the one that begins another."""
        begun = tokens[-1] if _has_next(tokens) else None
        eos_ids = self._model.tokenizer.eos_ids
        kept = [each for each in tokens if each is not begun and each.token_id not in eos_ids]
        self.num_written += len(kept)
        text = _text(kept)
        logprobs = [token.logprob for token in kept]
        found = Sentence(
            text=text,
            mean_logprob=sum(logprobs) / len(logprobs) if logprobs else float("-inf"),
            is_last=begun is None,
        )
        return found, replace(
            told,
            said=told.said + text,
            token_ids=(*told.token_ids, *(token.token_id for token in kept)),
            state=state,
            begun=begun,
        )

    def other_words(self, question: str) -> str:
        """Another query for a question that nothing was found for; may be empty."""
        return self.line(_QUERY.format(question=question))

    def line(self, request: str) -> str:
        """The first line of what the model answers to a request; may be empty."""
        told = self._turn((Message(role="user", content=request),))
        state = None if self._reader is None else self._reader.read(told.token_ids[:-1])[0]
        tokens = self._tokens(told.token_ids, state, most=MAX_LINE_TOKENS)
        line, _, _ = _text(list(tokens)).strip().partition("\n")
        return line.strip()

    def _turn(self, turns: Sequence[Message]) -> Told:
        token_ids = prompt_ids(self._model.tokenizer, turns)
        return Told(turns=tuple(turns), token_ids=tuple(token_ids))

    def _settings(self, most: int) -> GenerationSettings:
        return GenerationSettings(
            max_new_tokens=most, num_alternatives=1, forbidden_ids=self._forbidden
        )

    def _tokens(
        self,
        token_ids: Sequence[int],
        state: State | None,
        *,
        most: int = MAX_SENTENCE_TOKENS,
    ) -> Iterator[Token]:
        settings, report = self._settings(most), GenerationReport()
        if self._reader is None or state is None:
            return generate(self._model, token_ids, settings=settings, report=report)
        return decode(
            self._reader.engine,
            state,
            token_ids,
            tokenizer=self._model.tokenizer,
            settings=settings,
            report=report,
            num_held=len(token_ids) - 1,
        )


class MessageWriter:
    """Writes with a served model that reads messages."""

    goes_on = False

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model
        self.num_read = self.num_written = 0

    def answer(self, question: str, passages: Sequence[Passage] = ()) -> list[Sentence]:
        """The sentences of an answer, from passages where there are some; all at once."""
        request = _ALONE.format(question=question)
        if passages:
            shown = "\n\n".join(f"Passage:\n{_shown(passage)}" for passage in passages)
            request = _FROM_ALL.format(passages=shown, question=question)
        text, mean_logprob = self._said(request, MAX_ANSWER_TOKENS)
        ends = [end for _start, end in sentences(text)]
        return [
            Sentence(text=text[start:end], mean_logprob=mean_logprob, is_last=end == ends[-1])
            for start, end in pairwise((0, *ends))
        ]

    def other_words(self, question: str) -> str:
        """As `ChatWriter.other_words`."""
        return self.line(_QUERY.format(question=question))

    def line(self, request: str) -> str:
        """As `ChatWriter.line`."""
        line, _, _ = self._said(request, MAX_LINE_TOKENS)[0].partition("\n")
        return line.strip()

    def _said(self, request: str, most: int) -> tuple[str, float | None]:
        """An answer, and its tokens' mean log-probability where the server tells them."""
        prompt = prompt_of(self._model, [Message(role="user", content=request)])
        report = GenerationReport()
        settings = GenerationSettings(max_new_tokens=most)
        told = generate(self._model, prompt, settings=settings, report=report)
        tokens = [token for token in told if not token.reasoning]
        self.num_read += report.usage.prompt_tokens
        self.num_written += len(tokens)
        logprobs = [token.logprob for token in tokens]
        known = logprobs and not any(map(isnan, logprobs))
        mean = sum(logprobs) / len(logprobs) if known else None
        return _text(tokens).strip(), mean


Writer = ChatWriter | MessageWriter


def _text(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens)


def _has_next(tokens: Sequence[Token]) -> bool:
    """Whether the last of the tokens has come into a second sentence."""
    return len(tokens) > 1 and len(sentences(_text(tokens).strip())) > 1


def _shown(passage: Passage) -> str:
    text = withheld(passage.text)
    return f"{passage.heading}\n{text}" if passage.heading else text
