"""The seven tokens of the profile avalon, under the card's system prompt."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from avalan.compress.export import export
from avalan.errors import ModelError
from avalan.model.load import Model, open_model
from avalan.model.prompt import load_tokenizer
from avalan.reflection.avalon_judge import SYSTEM_PROMPT, AvalonJudge, has_avalon
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.panel import open_panel
from avalan.reflection.tokens import ALL, AVALON, avalon_ids
from avalan.testing import ScriptedEngine, pico_llama, pico_tokenizer, scripted_model

QUESTION = "Who won the election of 2024?"
VOCAB = 384


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_tokenizer(tmp_path_factory.mktemp("avalon"), special_tokens=AVALON)


def deciding(folder: Path, **odds: float) -> tuple[Model, list[str]]:
    """A model whose tokens have these logits everywhere, and what it has read."""
    tokenizer = load_tokenizer(folder)
    ids = avalon_ids(tokenizer.token_id)
    row = [0.0] * VOCAB
    row[ids.retrieval], row[ids.no_retrieval] = odds["retrieval"], odds["no_retrieval"]
    row[ids.utility[4]] = odds["useful"]
    read: list[str] = []

    def script(held: tuple[int, ...]) -> Sequence[float]:
        read.append(tokenizer.decode(held))
        return row

    engine = ScriptedEngine(script, vocab_size=VOCAB, context_length=2_000)
    return scripted_model(folder, engine), read


def test_the_decision_is_the_share_of_its_token_under_the_cards_prompt(folder: Path) -> None:
    model, read = deciding(folder, retrieval=3.0, no_retrieval=1.0, useful=0.0)
    assert has_avalon(model)
    judge = AvalonJudge(model)
    assert judge.way == "tokens+logits"
    assert judge.need(QUESTION) == pytest.approx(1 / (1 + math.exp(-2)))
    assert SYSTEM_PROMPT in read[-1]
    assert read[-1].index(SYSTEM_PROMPT) < read[-1].index(QUESTION)
    judge.need(QUESTION, "It was close.")
    assert read[-1].endswith("It was close.")


def test_a_calibrator_scales_the_decision(folder: Path) -> None:
    model, _read = deciding(folder, retrieval=3.0, no_retrieval=1.0, useful=0.0)
    judge = AvalonJudge(
        model, need=Calibrator(weights={"log_for": 0.5, "log_against": 0.5}, bias=0.0)
    )
    assert judge.need(QUESTION) == pytest.approx(1 / (1 + math.exp(-1)))


def test_the_grade_is_expected_where_the_answer_ends(folder: Path) -> None:
    model, read = deciding(folder, retrieval=0.0, no_retrieval=0.0, useful=math.log(4))
    # The odds of the five are 1, 1, 1, 1 and 4.
    assert AvalonJudge(model).utility(QUESTION, "Nobody.", None) == pytest.approx(30 / 8)
    assert read[-1].endswith("[No Retrieval]Nobody.")


def test_a_model_with_all_fifteen_or_with_none_is_judged_otherwise(
    folder: Path, tmp_path: Path
) -> None:
    none = pico_tokenizer(tmp_path)
    engine = ScriptedEngine(lambda held: [0.0] * VOCAB, vocab_size=VOCAB, context_length=99)
    assert not has_avalon(scripted_model(none, engine))
    with pytest.raises(ModelError, match=r"no reflection token \[Retrieval\] \(7 of 7"):
        avalon_ids(load_tokenizer(none).token_id)


@pytest.mark.parametrize(("known", "way"), [(ALL, "tokens"), (AVALON, "tokens+logits")])
def test_a_panel_takes_the_profile_that_the_vocabulary_has(
    tmp_path: Path, known: tuple[str, ...], way: str
) -> None:
    folder = pico_llama(tmp_path / "m", special_tokens=known, max_position_embeddings=1024)
    with open_panel(str(folder)) as panel:
        assert panel.need.way == way
        assert panel.writes is (known is AVALON)
        assert 0 < panel.need.need("When?") < 1


def test_a_real_model_is_asked_on_every_engine(tmp_path: Path) -> None:
    folder = pico_llama(tmp_path / "m", special_tokens=AVALON, max_position_embeddings=1024)
    said = []
    for path in (folder, export(folder, tmp_path / "onnx").folder):
        with open_model(str(path)) as model:
            judge = AvalonJudge(model)
            said.append((judge.need(QUESTION), judge.utility(QUESTION, "Nobody.", None)))
            assert judge.usage().prompt_tokens > 100
    assert said[0] == pytest.approx(said[1], abs=1e-3)
