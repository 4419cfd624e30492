"""Whether an answer is right: exact match, token F1 and containment, normalised as for SQuAD.

Source of the normalisation: Rajpurkar et al., 2016, arXiv:1606.05250.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’–—•")


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and surplus spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """1 if both are the same after normalisation, else 0."""
    return float(normalise(answer) == normalise(gold))


def contains(answer: str, gold: str) -> float:
    """1 if the gold answer's words stand in the answer, in order and together, else 0."""
    wanted = normalise(gold)
    return float(bool(wanted) and f" {wanted} " in f" {normalise(answer)} ")


def standing(phrase: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where `phrase` stands in `text`, in characters, each time: no "4" stands in "410"."""
    if not phrase:
        return ()
    begin, end = (r"\b" if re.match(r"\w", edge) else "" for edge in (phrase[0], phrase[-1]))
    found = re.finditer(f"{begin}{re.escape(phrase)}{end}", text)
    return tuple(each.span() for each in found)


def token_f1(answer: str, gold: str) -> float:
    """Harmonic mean of the precision and recall of words; 0 when none is shared."""
    said, wanted = normalise(answer).split(), normalise(gold).split()
    shared = sum((Counter(said) & Counter(wanted)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(said), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def best(score: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    """The highest score against any gold answer; 0 when there is none."""
    return max((score(answer, gold) for gold in golds), default=0.0)
