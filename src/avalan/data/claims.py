"""Claims about a page, made of its own sentences: said, half said, changed, or not said.

Sentences that are changed by rule as examples of support and contradiction: Kryscinski et al.,
2020 (FactCC, arXiv:1910.12840), section 3.
"""

import re
from random import Random

from avalan.data.cloze import sentences

_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}")
_WORDS = (5, 30)
"""How long a sentence is that is worth claiming."""
_OPPOSITES = (
    ("is", "is not"), ("are", "are not"), ("was", "was not"), ("were", "were not"),
    ("can", "cannot"), ("must", "need not"), ("may", "may not"), ("will", "will not"),
    ("before", "after"), ("more", "less"), ("always", "never"), ("first", "last"), ("all", "no"),
    ("up", "down"), ("open", "closed"), ("with", "without"), ("above", "below"),
    ("inside", "outside"), ("morning", "evening"), ("left", "right"), ("old", "new"),
    ("higher", "lower"), ("both", "neither"), ("longer", "shorter"), ("hot", "cold"),
)  # fmt: skip
_SWAPS = dict([*_OPPOSITES, *((after, before) for before, after in _OPPOSITES)])
_SWAPPED = re.compile(r"\b(" + "|".join(sorted(map(re.escape, _SWAPS), key=len)[::-1]) + r")\b")
_JOINTS = (", and ", "; ", ", while ", " and ")


def claim(page: str, other: str, support: str, rng: Random) -> str | None:
    """A claim that `page` supports so far; None where its sentences give none.

    Args:
        support: full, partial, contradicted or none.
        other: a page of other matters, of which is taken what `page` does not say.
    """
    own, strange = _some_sentence(page, rng), _some_sentence(other, rng)
    if own is None or strange is None:
        return None
    if support == "full":
        return own
    if support == "none":
        return strange
    if support == "contradicted":
        return changed(own, page, rng)
    halves = [own, strange]
    rng.shuffle(halves)
    return halves[0].rstrip(".!?:;") + rng.choice(_JOINTS) + halves[1][:1].lower() + halves[1][1:]


def changed(sentence: str, page: str, rng: Random) -> str | None:
    """`sentence` with another number, another name of the page, or a word turned to its opposite.

    None where it has nothing that can be changed so that it is untrue.
    """
    ways = []
    if numbers := list(_NUMBER.finditer(sentence)):
        found = rng.choice(numbers)
        ways.append((found, _other_number(found.group(), rng)))
    names = sorted(set(_NAME.findall(page)))
    if held := list(_NAME.finditer(sentence)):
        found = rng.choice(held)
        if others := [name for name in names if name not in sentence]:
            ways.append((found, rng.choice(others)))
    if turned := list(_SWAPPED.finditer(sentence)):
        found = rng.choice(turned)
        ways.append((found, _SWAPS[found.group()]))
    if not ways:
        return None
    found, instead = rng.choice(ways)
    return sentence[: found.start()] + instead + sentence[found.end() :]


def _other_number(digits: str, rng: Random) -> str:
    """Another of as many digits, of which one differs."""
    place = rng.randrange(len(digits))
    lowest = 1 if place == 0 and len(digits) > 1 else 0
    new = rng.choice([d for d in range(lowest, 10) if str(d) != digits[place]])
    return f"{digits[:place]}{new}{digits[place + 1 :]}"


def _some_sentence(page: str, rng: Random) -> str | None:
    least, most = _WORDS
    found = [page[start:end].strip(" *#|-—•") for start, end in sentences(page)]
    fitting = [each for each in found if least <= len(each.split()) <= most]
    return rng.choice(fitting) if fitting else None
