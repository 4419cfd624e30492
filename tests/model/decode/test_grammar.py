"""Constraints hold whatever the model would rather say, and an answer cut short is an error."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ConfigurationError, TruncatedAnswer
from avalan.model.decode.grammar import Grammar, follows
from avalan.model.decode.loop import decode
from avalan.model.entities import GenerationReport, GenerationSettings
from avalan.model.load import Model, open_model
from avalan.model.prompt import Tokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "tags", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model() -> Any:
    with open_model("bundled") as model:
        yield model


def answer(model: Model, **settings: Any) -> tuple[str, GenerationReport]:
    """What the model says at random to a prompt that asks for nothing."""
    report = GenerationReport()
    prompt = model.tokenizer.encode("Once upon a time")
    settings = {"temperature": 2.0, "seed": 1, "max_new_tokens": 200} | settings
    chosen = GenerationSettings(**settings)
    engine = model.stepping
    tokens = decode(
        engine, engine.start(), prompt, tokenizer=model.tokenizer, settings=chosen, report=report
    )
    return "".join(map(str, tokens)), report


@pytest.mark.parametrize("seed", range(5))
def test_an_answer_under_a_schema_is_an_object_of_that_schema(model: Model, seed: int) -> None:
    text, report = answer(model, schema=SCHEMA, seed=seed)
    found = json.loads(text)
    assert set(found) == {"name", "tags", "age"}
    assert len(found["name"]) <= 12
    assert set(found["tags"]) <= {"a", "b"}
    assert 0 <= found["age"] <= 120
    assert (report.constraint, report.enforced_by) == ("schema", "llguidance")
    assert report.finish_reason == "stop"


@pytest.mark.parametrize("seed", range(5))
def test_an_answer_under_a_pattern_matches_it_whole(model: Model, seed: int) -> None:
    pattern = r"[A-Z]{2}-[0-9]{3}( (new|old))?"
    text, _ = answer(model, regex=pattern, seed=seed)
    assert re.fullmatch(pattern, text)


@given(choices=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
def test_an_answer_is_one_of_the_choices_whatever_they_hold(
    model: Model, choices: Sequence[str]
) -> None:
    text, _ = answer(model, choices=tuple(choices))
    assert text in choices


def test_an_answer_cut_short_is_an_error_after_its_tokens(model: Model) -> None:
    report = GenerationReport()
    engine = model.stepping
    settings = GenerationSettings(schema=SCHEMA, max_new_tokens=4)
    tokens = decode(
        engine,
        engine.start(),
        model.tokenizer.encode("Hi"),
        tokenizer=model.tokenizer,
        settings=settings,
        report=report,
    )
    seen = []
    with pytest.raises(TruncatedAnswer, match=r"after 4 tokens, before the schema .* raise"):
        seen.extend(tokens)
    assert len(seen) == 4
    assert report.finish_reason == "length"


def test_the_log_probability_is_the_models_own(model: Model) -> None:
    """A choice of one leaves no choice, but the model may have found it unlikely."""
    engine = model.stepping
    prompt = model.tokenizer.encode("Once upon a time")
    settings = GenerationSettings(choices=("xyz",), temperature=1.0, seed=0)
    tokens = decode(
        engine,
        engine.start(),
        prompt,
        tokenizer=model.tokenizer,
        settings=settings,
        report=GenerationReport(),
    )
    first = next(tokens)
    logits = engine.feed(engine.start(), prompt)
    expected = logits[first.token_id] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    assert first.logprob == pytest.approx(float(expected), abs=1e-4)
    assert first.logprob < -1


def test_no_control_token_is_allowed_where_its_letters_are(model: Model) -> None:
    tokenizer: Tokenizer = model.tokenizer
    grammar = Grammar(
        GenerationSettings(choices=("[Retrieval]",)), tokenizer, model.stepping.vocab_size
    )
    allowed = set(np.flatnonzero(grammar.allowed()).tolist())
    assert allowed
    assert not allowed & tokenizer.special_ids


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (GenerationSettings(regex="(a"), "pattern cannot be enforced .*unclosed group"),
        (GenerationSettings(schema={"type": "nope"}), "schema cannot be enforced .*nope"),
        (
            GenerationSettings(schema={"type": "object", "unevaluatedProperties": False}),
            "unevaluatedProperties",
        ),
        (GenerationSettings(schema={"$ref": "http://x.example/y"}), "cannot be enforced"),
        (GenerationSettings(schema={"$ref": "#"}), "because no text follows it"),
        (GenerationSettings(schema={"allOf": [{"$ref": "#"}]}), "because no text follows it"),
    ],
)
def test_what_cannot_be_enforced_is_refused_in_one_line(
    model: Model, settings: GenerationSettings, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Grammar(settings, model.tokenizer, model.stepping.vocab_size)
    assert "\n" not in str(caught.value)


def test_two_constraints_are_one_too_many(model: Model) -> None:
    with pytest.raises(ConfigurationError, match="regex, choices"):
        answer(model, regex="a", choices=("a",))


@pytest.mark.parametrize(
    ("text", "keeps"),
    [('{"a":"x"}', True), ('{\n\t"a" :\n "x"\n}', True), ('{"a": "z"}', False),
     ('{"a": "x"', False), ("[]", False)],
)  # fmt: skip
def test_a_finished_text_follows_a_schema_whatever_its_blanks(text: str, keeps: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]}
    assert follows(text, GenerationSettings(schema=schema)) is keeps
