"""Copying and looking up over random strings: the skill under reading, free of all content.

Two-layer transformers learn to copy strings of great length (Jelassi et al., 2024,
arXiv:2402.01032); here a key is asked for and its value must be repeated exactly.
"""

import string
from collections.abc import Callable, Sequence
from random import Random

from avalan.data.lexicon import SETTING_WORDS, common_words
from avalan.data.reading import ABSTENTION
from avalan.data.slots import fill, pseudo_word
from avalan.model.entities import Message
from avalan.reflection.record import Record, RecordPassage, Segment, Split

_ASK = (
    "{k}", "{k}?", "What is {k}?", "value of {k}", "Look up {k}.", "Which value has {k}?",
    "find {k}", "what stands beside {k}", "Give me the entry for {k}", "{k} =",
)  # fmt: skip
_REPEAT = ("Repeat it.", "repeat", "Copy the text.", "Say it again, word for word.", "copy all")
_GO_ON = ("Go on after {k}", "{k} …", "What follows {k}?", "all after {k}", "after {k}")
_JOINTS = (": ", " = ", " -> ", " - ", "\t", " is ", " means ", " | ")
_VALUES = ("code", "count", "person", "money", "date", "version", "place", "title", "email", "time")


def _string(rng: Random) -> str:
    shape = rng.random()
    if shape < 0.3:
        alphabet = rng.choice((string.ascii_lowercase, string.digits, string.hexdigits.lower()))
        return "".join(rng.choices(alphabet, k=rng.randint(2, 8)))
    if shape < 0.5:
        return " ".join(rng.sample(common_words(), rng.randint(1, 4)))
    if shape < 0.65:
        return rng.choice(SETTING_WORDS)
    if shape < 0.85:
        return fill(rng.choice(_VALUES), rng)
    return " ".join(pseudo_word(rng) for _ in range(rng.randint(1, 2)))


def _word(rng: Random) -> str:
    shape = rng.random()
    if shape < 0.8:
        return rng.choice(common_words())
    return pseudo_word(rng, syllables=1) if shape < 0.9 else str(rng.randint(2, 99))


def drill_record(rng: Random, *, identifier: str, split: Split) -> Record:
    """Two to six words, each with another: the simplest table there is, asked by the word alone."""
    return _table(rng, _word, rng.randint(2, 6), ("{k}", "{k}?"), identifier, split)


def copy_record(rng: Random, *, identifier: str, split: Split) -> Record:
    """A string to repeat, from its beginning or from after a word that stands in it once.

    Most are short, since what must be told apart grows with the length, and so does the time until
    a model finds out that it can repeat at all.
    """
    length = rng.choice((3, 3, 4, 4, 5, 5, 6, 8, 12, 20))
    parts = [(_word if length < 8 else rng.choice((_word, _string)))(rng) for _ in range(length)]
    joint = rng.choice((" ", " ", ", ", "\n", "; "))
    text, start, question = joint.join(parts), 0, rng.choice(_REPEAT)
    index = rng.randrange(len(parts) - 2)
    before = joint.join(parts[: index + 1])
    if rng.random() < 0.5 and text.count(parts[index]) == 1:
        start, question = len(before + joint), rng.choice(_GO_ON).replace("{k}", parts[index])
    passage = RecordPassage(pid="l:0", text=text, relevant=True)
    segment = Segment(
        decision="retrieve",
        passages=(passage,),
        text=text[start:],
        span=(start, len(text)),
        support="full",
        cite=("l:0",),
    )
    return Record(
        id=identifier,
        messages=(Message(role="user", content=question),),
        segments=(segment,),
        utility=5,
        split=split,
        source={"dataset": "lookup"},
    )


def lookup_record(rng: Random, *, identifier: str, split: Split) -> Record:
    """A table of strings of many kinds, asked for in many ways."""
    return _table(rng, _string, rng.randint(2, 12), _ASK, identifier, split)


def _table(
    rng: Random,
    string_of: Callable[[Random], str],
    num_pairs: int,
    asks: Sequence[str],
    identifier: str,
    split: Split,
) -> Record:
    """Keys and values, and a question for one of them; a quarter asks for an absent key."""
    pairs: dict[str, str] = {}
    for _ in range(num_pairs):
        pairs.setdefault(string_of(rng), string_of(rng))
    keys = list(pairs)
    absent = rng.random() < 0.25
    key = string_of(rng) if absent else rng.choice(keys)
    absent = key not in pairs
    joint, line = rng.choice(_JOINTS), rng.choice(("\n", "\n", "; ", ". ", ", "))
    text, span = "", None
    for index, (name, value) in enumerate(pairs.items()):
        text += (line if index else "") + name + joint
        if name == key:
            span = (len(text), len(text) + len(value))
        text += value
    passage = RecordPassage(pid="l:0", text=text, relevant=not absent)
    if span is None:
        segment = Segment(decision="retrieve", passages=(passage,), text=ABSTENTION)
    else:
        segment = Segment(
            decision="retrieve",
            passages=(passage,),
            text=pairs[key],
            span=span,
            support="full",
            cite=("l:0",),
        )
    question = rng.choice(asks).replace("{k}", key)
    return Record(
        id=identifier,
        messages=(Message(role="user", content=question),),
        segments=(segment,),
        utility=1 if span is None else 5,
        split=split,
        source={"dataset": "lookup"},
    )
