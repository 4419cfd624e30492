"""Signs that a model does not know: numbers of short closed-book drafts, for the gate to weigh.

A model that hesitates over its words, or says something else each time it is asked, is likely to
need a look-up. Plain signs of this kind do as well as elaborate ones (Moskvoretskii et al., 2025,
arXiv:2501.12835).
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import exp, log

from avalan.model.entities import GenerationReport, GenerationSettings, Message, Token
from avalan.model.generate import generate
from avalan.model.load import Model
from avalan.reflection.matching import token_f1
from avalan.reflection.reading import prompt_of

DRAFT_TOKENS = 16
NUM_SAMPLES = 3
_NUM_ALTERNATIVES = 20
_PROMPT = "Answer in a few words.\n\nQuestion: {question}"


def draft_signals(model: Model, question: str) -> dict[str, float]:
    """What a greedy draft of at most `DRAFT_TOKENS` tokens tells.

    * `draft_entropy`, `draft_highest_entropy`: mean and highest entropy of the next token, nats.
    * `draft_logprob`: mean log-probability of its tokens.

    Raises:
        ModelError: the server gives no log-probabilities.
    """
    prompt = _prompt(model, question)
    greedy = _drafted(model, prompt, GenerationSettings(num_alternatives=_NUM_ALTERNATIVES))
    entropies = [entropy(token) for token in greedy] or [0.0]
    return {
        "draft_entropy": sum(entropies) / len(entropies),
        "draft_highest_entropy": max(entropies),
        "draft_logprob": sum(token.logprob for token in greedy) / max(len(greedy), 1),
    }


def draft_similarity(
    model: Model, question: str, *, num_samples: int = NUM_SAMPLES, seed: int = 0
) -> float:
    """Mean token F1 of all pairs of drafts that are drawn at temperature 1."""
    prompt = _prompt(model, question)
    drawn = [
        _drafted(model, prompt, GenerationSettings(temperature=1.0, seed=seed + number))
        for number in range(num_samples)
    ]
    return similarity(["".join(map(str, tokens)) for tokens in drawn])


def entropy(token: Token) -> float:
    """The entropy of what could have stood in a token's place, nats.

    The alternatives are the most probable ones; all others count as one.
    """
    shares = [exp(each.logprob) for each in token.alternatives]
    rest = max(0.0, 1.0 - sum(shares))
    return -sum(share * log(share) for share in (*shares, rest) if share > 0)


def similarity(texts: Sequence[str]) -> float:
    """The mean token F1 of all pairs; 1 for texts that are all empty, or fewer than two."""
    pairs = list(combinations(texts, 2))
    if not pairs:
        return 1.0
    return sum(1.0 if a == b else token_f1(a, b) for a, b in pairs) / len(pairs)


def _prompt(model: Model, question: str) -> Sequence[int] | Sequence[Message]:
    return prompt_of(model, [Message(role="user", content=_PROMPT.format(question=question))])


def _drafted(
    model: Model, prompt: Sequence[int] | Sequence[Message], settings: GenerationSettings
) -> list[Token]:
    settings = replace(settings, max_new_tokens=DRAFT_TOKENS)
    tokens = generate(model, prompt, settings=settings, report=GenerationReport())
    return [token for token in tokens if not token.reasoning]
