"""Questions one after the other: a follow-up becomes a question that stands by itself.

"And on Sundays?" finds nothing alone. A model that writes is asked to complete it; without one, or
where it writes nothing new, the question that it leans on is put before it, which search and the
reader understand as well.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from avalan.retrieval.query import content_terms

if TYPE_CHECKING:  # Where nobody writes, no model library is loaded.
    from avalan.reflection.writer import Writer

_JOINS = re.compile(
    r"^\W*(and|or|but|so|then|(what|how)\s+about|y|o|pero|und|oder|aber|et|ou|mais)\b\W*",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"(what|who|whose|when|where|which|why|how|is|are|was|were|do|does|did|can|may|must|will|should"
    r"|qué|quién|cuándo|dónde|cómo|cuánto|wer|wann|wo|wie|warum|welche\w*|qui|quand|où|comment"
    r"|pourquoi)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"""
      \b(it|its|they|them|their|theirs|he|him|his|she|her|hers|this|those|these
        |ones|same|others|else
        |ello|ellos|ellas|eso|esto|esa|ese|allí|él|ella|suyo|suya
        |er|sie|ihn|ihm|ihr|ihre|dies|diese|dort|dafür|davon|damit
        |il|elle|ils|elles|cela|ça|ceci|celui|celle|leur|lui)\b
    | \b(is|was|does|did|about|of|for|with)\ that\b | \b(from|get|go)\ there\b
    """,
    re.VERBOSE | re.IGNORECASE,
)

_WHOLE = 2
"""Content words of a question that stands by itself: of what, and what of it."""

_COMPLETE = (
    "Below are questions that somebody asked, one after the other. Write the last one anew, so "
    "that it is understood without the others. Write that question and nothing else.\n\n{asked}"
)


def leans(question: str) -> bool:
    """Whether it seems to need what was asked before it: a pronoun, an "and", or hardly a word."""
    if not content_terms(question) or _POINTS.search(question):
        return True
    joined = _JOINS.match(question)
    if joined is None:
        return False
    rest = question[joined.end() :]
    # "And when does the greenhouse open?" has what it takes, "and when on Sundays?" has not.
    return _ASKS.match(rest) is None or len(content_terms(rest)) < _WHOLE


@dataclass(slots=True)
class Conversation:
    """What has been asked so far, and what the next question means."""

    writer: "Writer | None" = None
    asked: list[str] = field(default_factory=list)
    """As they were understood."""
    _topic: str = ""
    """The last question that stood by itself."""

    def understood(self, question: str) -> str:
        """The question by itself; it is remembered."""
        question = " ".join(question.split())
        found = question
        if self._topic and leans(question):
            found = self._completed(question) or f"{self._topic} {question}"
        else:
            self._topic = question
        self.asked.append(found)
        return found

    def _completed(self, question: str) -> str:
        if self.writer is None:
            return ""
        asked = "\n".join(f"- {each}" for each in (*self.asked[-3:], question))
        line = self.writer.line(_COMPLETE.format(asked=asked)).lstrip("- ").strip()
        # Who only repeats the question has not completed it.
        is_new = line.casefold() != question.casefold()
        return line if is_new else ""
