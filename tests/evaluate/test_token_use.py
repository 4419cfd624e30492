"""The task reflection-tokens: what counts as a right use, and what a model makes of it."""

from pathlib import Path
from typing import Any

import pytest

from avalan.evaluate.examples import Prompt
from avalan.evaluate.metrics import spearman
from avalan.evaluate.token_use import Used, Wanted, follows, profile_of, summarise, use, wanted_of
from avalan.model.entities import Token
from avalan.model.load import open_model
from avalan.model.prompt import load_tokenizer
from avalan.reflection.tokens import ALL, AVALON
from avalan.testing import ScriptedGeneratingEngine, pico_llama, scripted_model


@pytest.mark.parametrize(
    ("pieces", "ended", "valid"),
    [
        (["[No Retrieval]", "Paris", ".", "[Utility:5]"], True, True),
        (["[Retrieval]"], True, True),
        (["[Retrieval]", "I need", " it"], False, True),
        (["[No Retrieval]", "Paris", ".", "[Utility:5]"], False, False),
        (["[No Retrieval]", "Paris", "."], True, False),
        (["[No Retrieval]", "[Utility:5]"], True, False),
        (["[No Retrieval]", "7", "[Retrieval]", "+ 2", "[Utility:4]"], True, False),
        (["[No Retrieval]", "a", "[Utility:4]", "b", "[Utility:5]"], True, False),
        (["Paris", "[Utility:5]"], True, False),
        ([], True, False),
    ],
)
def test_the_grammar_of_an_output(pieces: list[str], ended: bool, valid: bool) -> None:
    assert follows(pieces, ended=ended) is valid


def used(free: bool | None, **fields: Any) -> Used:
    known = {"id": "p", "said": "", "is_valid": free is not None, "constrained": True, "score": 0.0}
    return Used(free=free, **(known | {"grade": None, "right": None} | fields))


def test_the_figures_by_hand() -> None:
    wanted = [Wanted(id=str(i), text="?", retrieve=i < 2) for i in range(4)]
    found = summarise(
        wanted,
        [
            used(True),
            used(None, grade=2.0, right=False),
            used(False, constrained=False, grade=4.5, right=True),
            used(True, grade=4.0, right=True),
        ],
    )
    values = {name: each and each.value for name, each in found.items()}
    # Said unasked: yes (right), nothing, no (right), yes (wrong).
    assert values["FVR"] == 0.75
    assert values["DEC, free"] == 0.5
    assert values["DEC, constrained"] == 0.75
    assert values["grade AUROC"] == 1.0
    assert values["grade Spearman"] == pytest.approx(0.866, abs=1e-3)
    assert set(summarise([], []).values()) == {None}


def test_the_correlation_of_ranks_by_hand() -> None:
    assert spearman([1, 2, 3], [10, 20, 500]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 beside 1, 3, 2, 4.
    assert spearman([1, 2, 2, 4], [1, 3, 2, 4]) == pytest.approx(0.9487, abs=1e-4)
    assert spearman([1, 1], [1, 2]) == 0.0


def test_what_must_be_looked_up_has_no_answer_by_heart() -> None:
    found = wanted_of(
        [
            Prompt(id="a", text="What does clause 3 say?", retrieve=True, kind="doc"),
            Prompt(id="b", text="what is the capital of France", retrieve=False, kind="fact"),
            Prompt(id="c", text="write me a limerick", retrieve=False, kind="task"),
        ]
    )
    assert [each.answer for each in found] == ["", "Paris", None]


@pytest.mark.parametrize(("known", "profile"), [(ALL, "self-rag"), (AVALON, "avalon"), ((), None)])
def test_a_model_is_measured_by_its_own_profile(
    tmp_path: Path, known: tuple[str, ...], profile: str | None, stage: Any
) -> None:
    folder = pico_llama(tmp_path / "m", special_tokens=known, max_position_embeddings=1024)
    wanted = [Wanted(id="1", text="Who are you?", retrieve=False, answer="nobody")]
    with open_model(str(folder)) as model:
        assert profile_of(model) == profile
        (found,) = use(model, stage.judge(need=lambda text: 0.9), wanted)
    assert found.constrained
    assert (found.grade, found.right) == (None, None)


def test_what_a_batch_says_each_says_alone(stage: Any) -> None:
    texts = ("Who are you?", "What is the capital of France?", "What does clause 3 say?")
    wanted = [Wanted(id=text, text=text, retrieve=False) for text in texts]
    judge = stage.judge(need=lambda text: 0.9)
    with open_model("bundled") as model:
        together = list(use(model, judge, wanted))
        alone = [used for each in wanted for used in use(model, judge, [each])]
    assert together == alone
    assert len({used.said for used in together}) == len(texts)


@pytest.mark.parametrize(
    ("said", "shown", "free"),
    [
        (("[Retrieval]", "a", "b"), "[Retrieval]", True),
        (("[No Retrieval]", "a", "b", "[Utility:5]"), "[No Retrieval]ab[Utility:5]", False),
    ],
)
def test_a_model_that_decodes_by_itself_is_asked_too(
    tmp_path: Path, stage: Any, said: tuple[str, ...], shown: str, free: bool
) -> None:
    folder = pico_llama(tmp_path / "m", special_tokens=ALL, max_position_embeddings=1024)
    tokenizer = load_tokenizer(folder)
    ids = [tokenizer.encode_with_controls(text)[0][-1] for text in said]
    tokens = [
        Token(token_id=token_id, text=text, logprob=-1, probability=1)
        for token_id, text in zip(ids, said, strict=True)
    ]
    model = scripted_model(folder, ScriptedGeneratingEngine(tokens))
    wanted = [Wanted(id="1", text="?", retrieve=True)]
    (found,) = use(model, stage.judge(need=lambda text: 0.9), wanted)
    assert (found.said, found.free, found.is_valid) == (shown, free, True)
