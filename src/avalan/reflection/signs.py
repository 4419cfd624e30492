"""The signs that a question needs a look-up, by name, each with what it needs opened when asked."""

from collections.abc import Callable, Mapping
from functools import cache

from avalan.model.load import Model
from avalan.reflection.calibrate import logit
from avalan.reflection.gates import Sign
from avalan.reflection.judge import Judge
from avalan.reflection.router import router
from avalan.reflection.rules import retrieval_rule
from avalan.reflection.signals import draft_signals, draft_similarity

TOKEN, DRAFT, SIMILARITY, READER, ROUTER, RULES = (
    "token",
    "draft",
    "similarity",
    "reader",
    "router",
    "rules",
)


def signs_of(
    judge: Judge, model: Model | None, open_reader: Callable[[], Judge]
) -> Mapping[str, Sign]:
    """What can be asked of a model and of what is in the box.

    Args:
        judge: the model as a judge.
        model: None, or without log-probabilities, gives no drafts.
        open_reader: called when the reader's sign is asked for first.
    """
    reader = cache(open_reader)
    found: dict[str, Sign] = {TOKEN: lambda question: {"token_logit": logit(judge.need(question))}}
    if model is not None and "logprobs" in model.engine.capabilities:
        found[DRAFT] = lambda question: draft_signals(model, question)
        found[SIMILARITY] = lambda question: {"draft_similarity": draft_similarity(model, question)}
    return found | {
        READER: lambda question: {"reader_logit": logit(reader().need(question))},
        ROUTER: lambda question: {"router_logit": router().logit(question)},
        RULES: lambda question: {"rules_logit": logit(retrieval_rule(question))},
    }
