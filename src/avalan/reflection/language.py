"""Which language a question is in, of the few that gates are calibrated for."""

import re
from collections.abc import Mapping

_WORD = re.compile(r"[^\W\d_]+")
_GRAMMAR: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": (
            "the a an of to in is are was what who when where which how why do does did my our we "
            "and or for on with this that it you your can should there by from at be many much "
            "please me have has will"
        ),
        "de": (
            "der die das den dem des ein eine einen einem einer ist sind war was wer wann wo wie "
            "warum welche welcher welches wieviel wir unser unsere mein meine ich du sie und oder "
            "für auf mit nicht von zu zum zur im am bei aus kann muss soll es gibt bitte mir hat"
        ),
        "fr": (
            "le la les un une des du de est sont était que quoi qui quand où comment pourquoi quel "
            "quelle quels quelles combien nous notre nos mon ma mes je tu vous et ou pour sur avec "
            "ne pas dans au aux ce cette il elle y a peut doit"
        ),
        "es": (
            "el la los las un una de del es son era qué quién cuándo dónde cómo cuál cuáles cuánto "
            "cuánta cuántos nosotros nuestro nuestra mi mis yo tú usted y o para sobre con no en "
            "al este esta hay se puede debe que por me tiene"
        ),
    }.items()
}

LANGUAGES = tuple(_GRAMMAR)


def language_of(text: str) -> str:
    """The language that most of the words of grammar belong to; empty for none, or for a tie."""
    words = _WORD.findall(text.lower())
    counts = {name: sum(word in known for word in words) for name, known in _GRAMMAR.items()}
    best = max(counts.values())
    found = [name for name, count in counts.items() if count == best]
    return found[0] if best and len(found) == 1 else ""
