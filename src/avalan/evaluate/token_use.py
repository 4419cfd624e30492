"""The task `reflection-tokens`: does a model use its tokens as its profile says, unasked?

Every prompt is answered greedily with nothing held back: no mask, no forced decision. `FVR` is the
share of outputs that follow the profile's grammar, `DEC` the share whose first token is the right
decision (none is wrong), once so and once read under the constraint of saying one of the two; the
grade at the end is compared with whether the answer is right, where that is known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avalan.data.decisions import known_questions
from avalan.errors import AvalanError
from avalan.evaluate.examples import Prompt
from avalan.evaluate.metrics import auroc, macro_f1, spearman
from avalan.evaluate.statistics import Estimate, bootstrap, proportion
from avalan.locale import _n
from avalan.model.decode.batch import Answered, decode_batch
from avalan.model.engine import SteppingEngine
from avalan.model.entities import (
    BATCH_SIZE,
    GenerationReport,
    GenerationSettings,
    Message,
    Token,
)
from avalan.model.generate import generate
from avalan.model.load import Model
from avalan.reflection.avalon_judge import SYSTEM_PROMPT
from avalan.reflection.judge import Judge
from avalan.reflection.matching import exact_match
from avalan.reflection.reading import prompt_ids
from avalan.reflection.tokens import ALL, AVALON, NO_RETRIEVAL, RETRIEVAL, UTILITY
from avalan.retrieval.query import terms

Profile = Literal["avalon", "self-rag"]

MAX_TOKENS = 96
FIGURES = (
    "FVR",
    _n("DEC, free"),
    _n("DEC macro-F1"),
    _n("DEC, constrained"),
    _n("grade AUROC"),
    _n("grade Spearman"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A prompt with what is right of it."""

    id: str
    text: str
    retrieve: bool
    answer: str | None = None
    """By heart: empty where any would be wrong, None where it is not known what is right."""

    @property
    def group(self) -> str:
        """Prompts stand alone."""
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a model made of one prompt."""

    id: str
    said: str
    """With its tokens."""
    is_valid: bool
    """Whether it follows the profile's grammar."""
    free: bool | None
    """The decision that it said first; None for no decision."""
    constrained: bool
    """The decision that it finds more probable of the two."""
    grade: float | None
    """The expected grade of its draft from memory, 1 to 5; None without one."""
    right: bool | None
    """Whether that draft is right; None where nobody knows."""
    score: float
    """1 if the first decision is the label's, else 0."""


def wanted_of(prompts: Sequence[Prompt]) -> tuple[Wanted, ...]:
    """Prompts with the answers that are taught by heart; what must be looked up has none.

    Of the others, nobody knows what a right answer is.
    """
    taught = [(set(terms(question)), answer) for question, answer in known_questions()]

    def answer(prompt: Prompt) -> str | None:
        if prompt.retrieve:
            return ""
        words = set(terms(prompt.text))
        return next((said for known, said in taught if known <= words), None)

    return tuple(
        Wanted(id=each.id, text=each.text, retrieve=each.retrieve, answer=answer(each))
        for each in prompts
    )


def profile_of(model: Model) -> Profile | None:
    """The richest profile whose tokens the vocabulary has."""
    known = model.tokenizer.added_tokens
    if all(text in known for text in ALL):
        return "self-rag"
    return "avalon" if all(text in known for text in AVALON) else None


def follows(pieces: Sequence[str], *, ended: bool) -> bool:
    """Whether an output follows the grammar that both profiles share.

        [No Retrieval] text … [Utility:X] <end>    or    [Retrieval] …

    After [Retrieval] it is the host's turn, so what a model goes on to say alone is not judged.

    Args:
        pieces: the text of each token; reflection tokens stand by themselves.
        ended: whether the model ended its answer itself.
    """
    if not pieces or pieces[0] not in (RETRIEVAL, NO_RETRIEVAL):
        return False
    if pieces[0] == RETRIEVAL:
        return True
    *body, last = pieces[1:] or ("",)
    is_text = "".join(body).strip() != "" and not any(piece in ALL for piece in body)
    return ended and last in UTILITY and is_text


def use(model: Model, judge: Judge, wanted: Sequence[Wanted]) -> Iterator[Used]:
    """Ask each prompt, in order.

    Args:
        judge: of the same model.
    """
    profile = profile_of(model)
    for start in range(0, len(wanted), BATCH_SIZE):
        batch = wanted[start : start + BATCH_SIZE]
        for each, (pieces, ended) in zip(batch, _said(model, profile, batch), strict=True):
            free = {RETRIEVAL: True, NO_RETRIEVAL: False}.get(pieces[0] if pieces else "")
            grade, right = _graded(judge, each)
            yield Used(
                id=each.id,
                said="".join(pieces),
                is_valid=follows(pieces, ended=ended),
                free=free,
                constrained=judge.need(each.text) >= 0.5,
                grade=grade,
                right=right,
                score=float(free == each.retrieve),
            )


def _graded(judge: Judge, wanted: Wanted) -> tuple[float | None, bool | None]:
    """The grade of a draft from memory, and whether the draft is right; None where nobody knows."""
    if wanted.answer is None or (draft := judge.remember(wanted.text)) is None:
        return None, None
    return draft.features.get("utility"), exact_match(draft.text, wanted.answer) == 1


def _said(
    model: Model, profile: Profile | None, batch: Sequence[Wanted]
) -> list[tuple[list[str], bool]]:
    """The text of each token of a greedy answer to each, and whether it ended by itself."""
    tokenizer = model.tokenizer
    system = [Message(role="system", content=SYSTEM_PROMPT)] if profile == "avalon" else []
    asked = [[*system, Message(role="user", content=each.text)] for each in batch]
    prompts = [prompt_ids(tokenizer, messages) for messages in asked]
    settings = GenerationSettings(max_new_tokens=MAX_TOKENS, skip_special_tokens=False)
    if isinstance(model.engine, SteppingEngine):
        answers = decode_batch(
            model.engine, prompts, tokenizer=tokenizer, settings=settings, until=_looks_up
        )
        found = dict(answers)
    else:
        found = {row: _alone(model, prompt, settings) for row, prompt in enumerate(prompts)}
    said = []
    for row in range(len(batch)):
        answered = found[row]
        if isinstance(answered, AvalanError):
            raise answered
        ids = [token.token_id for token in answered.tokens]
        pieces = [tokenizer.decode([each]) for each in ids if each not in tokenizer.eos_ids]
        said.append((pieces, answered.report.finish_reason == "stop"))
    return said


def _looks_up(tokens: Sequence[Token]) -> bool:
    """Whether a look-up is wanted: what a model goes on to say alone is not judged."""
    return tokens[0].text == RETRIEVAL


def _alone(model: Model, prompt: Sequence[int], settings: GenerationSettings) -> Answered:
    """By an engine that decodes by itself."""
    report, tokens = GenerationReport(), list[Token]()
    for token in generate(model, prompt, settings=settings, report=report):
        tokens.append(token)
        if _looks_up(tokens):
            break
    return Answered(tokens=tuple(tokens), report=report)


def summarise(
    wanted: Sequence[Wanted], used: Sequence[Used], *, seed: int = 0
) -> dict[str, Estimate | None]:
    """The `FIGURES`; None where nothing counts for one."""
    if not used:
        return dict.fromkeys(FIGURES)
    labels = np.array([each.retrieve for each in wanted])
    # A missing decision is the wrong one.
    free = np.array(
        [
            each.free if each.free is not None else not label
            for each, label in zip(used, labels, strict=True)
        ]
    )
    graded = [
        (each.right, each.grade)
        for each in used
        if each.right is not None and each.grade is not None
    ]
    right = np.array([flag for flag, _grade in graded], bool)
    grades = np.array([grade for _flag, grade in graded], np.float64)
    found = (
        proportion([each.is_valid for each in used]),
        proportion((free == labels).tolist()),
        bootstrap(macro_f1, labels, free, seed=seed),
        proportion([each.constrained == label for each, label in zip(used, labels, strict=True)]),
        bootstrap(auroc, right, grades, seed=seed) if graded else None,
        bootstrap(spearman, right, grades, seed=seed) if graded else None,
    )
    return dict(zip(FIGURES, found, strict=True))
