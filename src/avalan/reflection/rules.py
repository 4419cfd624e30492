"""The honest baseline: a plain rule gate, and the best sentence by BM25.

Everything a model claims is compared with this in the same code path.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from avalan.model.entities import Grade, Usage
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.judge import Draft, Reading, Shares, as_claim, certain
from avalan.retrieval import query
from avalan.retrieval.entities import Passage
from avalan.retrieval.sentences import around, sentences

K1, B = 1.2, 0.75
"""BM25's usual constants (Robertson and Zaragoza, 2009)."""

_CHANGES = (
    r"\b(today|tonight|tomorrow|yesterday|now|currently?|latest|newest|recent(ly)?|"
    r"this (week|month|year)|right now|at the moment|news|weather|forecast|prices?|rates?|stock|"
    r"score|schedule|open(ing)?|version|release[ds]?|still)\b"
)
_PRIVATE = (
    r"\b(our|my (?!name)|we|us|minutes|agenda|handbook|policy|contract|lease|invoice|section|"
    r"clause|paragraph|page|appendix|attached|memo|"
    r"the (form|report|manual|document|file|notes|leaflet|agreement))\b"
)
_CITED = (
    r"\b(cite|citations?|sources?|references?|according to|quote|study|studies|evidence|"
    r"footnotes?|link)\b"
)
_TASK = (
    r"^\W*(please |can you |could you |kindly )*(write|compose|draft|translate|rewrite|rephrase|"
    r"summari[sz]e|shorten|correct|fix|explain|define|calculate|compute|convert|solve|make|create|"
    r"invent|suggest|tell me a|give me (a|an|some|five|ten|three)|list|name|help me|implement|"
    r"refactor|hello|hi|hey|thanks|thank)\b"
)
_MATHS = (
    r"\d\s*[-+*/x×÷^%=]\s*\d|\b(plus|minus|times|divided by|square root|percent of|"
    r"how many (minutes|hours|seconds|days|feet|grams))\b"
)
_PROGRAM = (
    r"```|\bdef \w+\(|\bclass \w+[:({]|\breturn\b.*;|\bSELECT\b.+\bFROM\b|\w\(\w*\)\s*[{;]|"
    r"(?i:\b(python|javascript|typescript|java|rust|golang|c\+\+|sql|bash|regex(p)?|html|css) "
    r"(code|function|script|program|query|class|one-liner)\b|"
    r"\b(write|implement|refactor|debug|fix)\b.{0,40}\b(function|script|program|query|code|regex)\b)"
)
_GENERAL = (
    r"\b(what does .{1,40} mean|meaning of|definition|what is (a|an) |capital of|synonym|"
    r"opposite of|plural of)\b"
)


def retrieval_rule(question: str) -> float:
    """P(look-up), by counting cues of both kinds; 0.5 where none or both speak."""
    text = question.lower()
    looks = sum(bool(re.search(cue, text)) for cue in (_CHANGES, _PRIVATE, _CITED))
    knows = sum(bool(re.search(cue, text)) for cue in (_TASK, _MATHS, _GENERAL))
    names = len(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", question))
    score = 1.2 * looks - 1.5 * knows + (0.6 if names else 0.0)
    return 1 / (1 + math.exp(-score))


def is_worked_out(question: str) -> bool:
    """Whether an answer is reasoned step by step, as sums and programs are: nothing interrupts it.

    A card's own figures show why: tokens between the steps of a sum cost a model its arithmetic.
    """
    return (
        re.search(_MATHS, question.lower()) is not None or re.search(_PROGRAM, question) is not None
    )


def support_rule(claim: str, text: str) -> Grade:
    """Full where the text has all content words of the claim, partial where it has half of them."""
    terms, known = query.content_terms(claim), set(query.content_terms(text))
    share = _share(terms, known)
    return "full" if share >= 0.95 else "partial" if share >= 0.5 else "none"


def bm25(terms: Sequence[str], documents: Sequence[Sequence[str]]) -> list[float]:
    """BM25 of each document for the terms, with statistics from these documents alone."""
    lengths = [len(words) for words in documents]
    average = sum(lengths) / max(1, len(lengths)) or 1.0
    counts = [Counter(words) for words in documents]
    scores = [0.0] * len(documents)
    for term in set(terms):
        containing = sum(term in count for count in counts)
        idf = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
        for i, count in enumerate(counts):
            frequency = count[term]
            norm = K1 * (1 - B + B * lengths[i] / average)
            scores[i] += idf * frequency * (K1 + 1) / (frequency + norm)
    return scores


def speaks_of(passage: Passage, question: str) -> bool:
    """Whether one sentence of the passage, with its heading, has every content word of a question.

    A single word without a question mark is no question but a greeting.
    """
    terms = query.content_terms(question)
    if not terms or (len(terms) == 1 and "?" not in question):
        return False
    wanted = set(_stems(terms)) - set(_stems(_words(passage.heading)))
    spans = quotable(passage.text)
    return any(wanted <= set(_stems(_words(passage.text[start:end]))) for start, end in spans)


def coverage(question: str, sentence: str, heading: str) -> float:
    """The share of the question's words that stand in a sentence or in the heading above it."""
    return _share(_stems(query.terms(question)), set(_stems(_words(f"{heading}\n{sentence}"))))


class RulesJudge:
    """Judges without a model."""

    name = way = "rules"

    def __init__(self, reading: Calibrator | None = None) -> None:
        self.reading = reading

    def need(self, question: str, said: str = "") -> float:
        return 0.0 if said else retrieval_rule(question)

    def remember(self, question: str) -> Draft | None:
        return None

    def read(self, question: str, passage: Passage) -> Reading:
        """The sentence with the best BM25, and the share of the question's words that it covers."""
        terms = _stems(query.terms(question))
        spans = quotable(passage.text) or [(0, len(passage.text))]
        bags = [_stems(_words(passage.text[start:end])) for start, end in spans]
        scores = bm25(terms, bags)
        best = max(range(len(spans)), key=lambda i: scores[i])
        around = set(bags[best]) | set(_stems(_words(passage.heading)))
        everywhere = around.union(*bags)
        features = {
            "sentence_coverage": _share(terms, around),
            "passage_coverage": _share(terms, everywhere),
            "sentence_bm25": scores[best],
            "passage_bm25": passage.lexical,
        }
        relevance = features["passage_coverage"]
        span = spans[best] if scores[best] > 0 else None
        sure = self.reading(features) if self.reading else features["sentence_coverage"]
        confidence = sure if span else 0.0
        return Reading(relevance=relevance, span=span, confidence=confidence, features=features)

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        claim = as_claim(question, answer)
        return certain(support_rule(claim, f"{passage.heading}\n{passage.text}"))

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        return None

    def usage(self) -> Usage:
        return Usage()


_RULE = r"([=\-~^\"*#+_'`])\{}{{2,}}[ \t\r]*(?=\n|\Z)"
_LEADING = re.compile(
    r"(?:#{1,6}[ \t][^\n]*"  # a Markdown heading
    rf"|[^\n]+\n{_RULE.format(1)}"  # an underlined title
    rf"|{_RULE.format(2)}"  # a line of nothing but a mark
    r"|(?:[-*+•]|\d{1,3}[.)])[ \t]"  # the mark of a list item
    r")\s*"
)
_CODE = re.compile(
    r"::=|^>>> |^\w*_\w*\s*:|^(?:def|class|if|for|while|with|try|import|from)\b[^\n]*[:)]$",
    re.MULTILINE,
)


def best_sentence(words: str, text: str) -> tuple[int, int]:
    """The span of the sentence of `text` with the best BM25 for `words`; the first of equals."""
    spans = quotable(text) or [(0, len(text))]
    terms = _stems(_words(words))
    scores = bm25(terms, [_stems(_words(text[slice(*span)])) for span in spans])
    return spans[max(range(len(spans)), key=lambda i: scores[i])]


def sentence_of(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """The sentences of `text` that `span` lies in, as one span, without a heading above them."""
    start, end = around(text, span)
    return min(_past_heading(text, start, end), span[0]), end


def quotable(text: str) -> list[tuple[int, int]]:
    """Spans of what can be quoted as an answer: sentences, and only where there is none, the rest.

    A heading above a sentence and the mark of a list item are left out of its span.
    """
    everything = sentences(text)
    bodies = [(_past_heading(text, start, end), end) for start, end in everything]
    return [span for span in bodies if _is_sentence(text[slice(*span)])] or everything


def _past_heading(text: str, start: int, end: int) -> int:
    while match := _LEADING.match(text, start, end):
        start = match.end()
    return start


def _is_sentence(piece: str) -> bool:
    return len(_words(piece)) > 2 and not _CODE.search(piece)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _stems(words: Sequence[str]) -> list[str]:
    """Words without their commonest endings: enough to match plurals and tenses."""
    return [re.sub(r"(?<=\w{3})(ing|ed|es|e|s)$", "", word) for word in words]


def _share(terms: Sequence[str], words: set[str]) -> float:
    return sum(term in words for term in terms) / len(terms) if terms else 0.0
