"""What an embedder is distilled on: lines of files, invented worlds, and queries made of both."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from avalan.data.mixture import rng_for
from avalan.data.worlds import allowed_wordings, passage
from avalan.errors import ConfigurationError, reason_of
from avalan.retrieval.query import content_terms
from avalan.train.embedder_recipe import Corpus

_QUESTIONS = (
    "what is {}?", "how to use {}", "how do I use {}?", "{} example", "what does {} mean?",
    "why would I need {}?", "explain {}", "where is {} described?", "{} not working",
)  # fmt: skip


def texts(corpus: Corpus, *, seed: int) -> list[str]:
    """Different texts in an order that depends on the seed.

    Raises:
        ConfigurationError: a file of the corpus is absent or cannot be read.
    """
    rng = rng_for(seed, -1)
    found = [line for file in corpus.files for line in lines(Path(file), corpus.texts_per_file)]
    queries = [query_of(text, rng) for text in found if rng.random() < corpus.query_share]
    for index in range(corpus.worlds):
        found += _world(rng_for(seed, index))
    different = list(dict.fromkeys(text for text in [*found, *queries] if text.strip()))
    rng.shuffle(different)
    return different


def query_of(text: str, rng: Random) -> str:
    """What somebody may type who looks for `text`: its key words, or a question about its title."""
    title, _, rest = text.partition("\n")
    if len(title.split()) <= 5 and rng.random() < 0.6:
        return rng.choice(_QUESTIONS).format(title.rstrip(".:").lower())
    words = content_terms(rest or title)
    start = rng.randrange(max(1, len(words) - 6))
    return " ".join(words[start : start + rng.randint(2, 6)])


def _world(rng: Random) -> Iterator[str]:
    """A passage, a sentence of it, and a question that it answers."""
    page = passage(rng, "train")
    yield f"{page.title}\n{page.text}".strip()
    fact = rng.choice(page.facts)
    yield page.text[slice(*fact.sentence)]
    question = rng.choice(allowed_wordings(fact.relation.questions, "train"))
    yield question.replace("{s}", fact.subject)


def lines(path: Path, most: int) -> list[str]:
    """The first texts of a file with one a line, in which backslash and n mean a new line."""
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "The corpus {path} cannot be read ({reason}); make it with "
            "scripts/embedder_corpus.py, or name other files in the recipe.",
            path=path,
            reason=reason_of(error),
        ) from None
    return [line.replace("\\n", "\n") for line in lines[:most]]
