"""The table of reflection tokens: their text, their groups, their ids in a tokenizer.

The 15 tokens are Self-RAG's (Asai et al., 2023, arXiv:2310.11511): 13 that the model says and two
marks that the host puts around a passage. They must be *special* tokens of the tokenizer, because
only those can be switched off while a document's text is encoded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from avalan.errors import ModelError

RETRIEVAL = "[Retrieval]"
NO_RETRIEVAL = "[No Retrieval]"
CONTINUE = "[Continue to Use Evidence]"
RELEVANT = "[Relevant]"
IRRELEVANT = "[Irrelevant]"
FULLY_SUPPORTED = "[Fully supported]"
PARTIALLY_SUPPORTED = "[Partially supported]"
NO_SUPPORT = "[No support / Contradictory]"
UTILITY = ("[Utility:1]", "[Utility:2]", "[Utility:3]", "[Utility:4]", "[Utility:5]")
PARAGRAPH = "<paragraph>"
PARAGRAPH_END = "</paragraph>"

DECISION = (RETRIEVAL, NO_RETRIEVAL, CONTINUE)
RELEVANCE = (RELEVANT, IRRELEVANT)
SUPPORT = (FULLY_SUPPORTED, PARTIALLY_SUPPORTED, NO_SUPPORT)
MARKUP = (PARAGRAPH, PARAGRAPH_END)
ALL = (*DECISION, *RELEVANCE, *SUPPORT, *UTILITY, *MARKUP)
"""Of the profile self-rag."""
AVALON = (RETRIEVAL, NO_RETRIEVAL, *UTILITY)
"""Of the profile avalon."""


PROFILES: Mapping[str, tuple[str, ...]] = {"avalon": AVALON, "self-rag": ALL, "none": ()}
"""The tokens of each."""
DESCRIPTIONS: Mapping[str, str] = {
    RETRIEVAL: "look it up, search the documents, retrieval needed",
    NO_RETRIEVAL: "no search needed, known already, answer directly",
    CONTINUE: "go on with the same evidence",
    RELEVANT: "relevant, on the subject, this helps",
    IRRELEVANT: "not relevant, another subject, this does not help",
    FULLY_SUPPORTED: "fully supported, the text says so, true",
    PARTIALLY_SUPPORTED: "partly supported, the text says some of it",
    NO_SUPPORT: "not supported, the text says otherwise, false",
    UTILITY[0]: "useless answer, very bad, one of five",
    UTILITY[1]: "poor answer, bad, two of five",
    UTILITY[2]: "fair answer, in part, three of five",
    UTILITY[3]: "good answer, four of five",
    UTILITY[4]: "perfect answer, excellent, five of five",
    PARAGRAPH: "here a passage begins, quote, text:",
    PARAGRAPH_END: "here the passage ends, end of quote.",
}
"""What each token stands for, in words: where a vocabulary gets it new, it begins as these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvalonIds:
    """The ids of the seven tokens of the profile avalon in one tokenizer."""

    retrieval: int
    no_retrieval: int
    utility: tuple[int, int, int, int, int]
    """Grades 1 to 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionIds:
    """The ids of the tokens in one tokenizer, in the order of their groups."""

    retrieval: int
    no_retrieval: int
    proceed: int
    relevant: int
    irrelevant: int
    support: tuple[int, int, int]
    """Fully, partially, not."""
    utility: tuple[int, int, int, int, int]
    """Grades 1 to 5."""
    paragraph: int
    paragraph_end: int

    @property
    def spoken(self) -> tuple[int, ...]:
        """The 13 tokens that a model may say."""
        return (
            self.retrieval,
            self.no_retrieval,
            self.proceed,
            self.relevant,
            self.irrelevant,
            *self.support,
            *self.utility,
        )


def reflection_ids(token_id: Callable[[str], int | None]) -> ReflectionIds:
    """Look all 15 tokens up with `token_id`, a tokenizer's exact text → id.

    Raises:
        ModelError: the vocabulary lacks one of them.
    """
    ids = _found(token_id, ALL)
    full, partial, none = (ids[text] for text in SUPPORT)
    one, two, three, four, five = (ids[text] for text in UTILITY)
    return ReflectionIds(
        retrieval=ids[RETRIEVAL],
        no_retrieval=ids[NO_RETRIEVAL],
        proceed=ids[CONTINUE],
        relevant=ids[RELEVANT],
        irrelevant=ids[IRRELEVANT],
        support=(full, partial, none),
        utility=(one, two, three, four, five),
        paragraph=ids[PARAGRAPH],
        paragraph_end=ids[PARAGRAPH_END],
    )


def avalon_ids(token_id: Callable[[str], int | None]) -> AvalonIds:
    """Look the seven tokens up; see `reflection_ids`."""
    ids = _found(token_id, AVALON)
    one, two, three, four, five = (ids[text] for text in UTILITY)
    return AvalonIds(
        retrieval=ids[RETRIEVAL],
        no_retrieval=ids[NO_RETRIEVAL],
        utility=(one, two, three, four, five),
    )


def _found(token_id: Callable[[str], int | None], wanted: Sequence[str]) -> dict[str, int]:
    found = {text: token_id(text) for text in wanted}
    if missing := [text for text, token in found.items() if token is None]:
        raise ModelError(
            "This model has no reflection token {first} ({count} of {all} are absent); ask "
            "with a model that was trained with them, such as 'bundled'.",
            first=missing[0],
            count=len(missing),
            all=len(wanted),
        )
    return {text: token for text, token in found.items() if token is not None}
