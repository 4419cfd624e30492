"""The judge that reads a model's reflection tokens: on engines that say what they are told, on
engines that say anything at all, and on a real pico model."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avalan.compress.export import export
from avalan.errors import ModelError
from avalan.model.entities import Message
from avalan.model.load import Model, open_model
from avalan.model.prompt import Tokenizer
from avalan.reflection.calibrate import Calibrator, logit
from avalan.reflection.judge import Reading, likeliest
from avalan.reflection.render import encode_passage
from avalan.reflection.token_judge import MAX_DRAFT_TOKENS, MAX_SPAN_TOKENS, TokenJudge
from avalan.reflection.tokens import ALL, ReflectionIds
from avalan.retrieval.entities import Passage
from avalan.testing import ScriptedEngine, pico_llama, pico_tokenizer, scripted_model

QUESTION = "When are the beds watered?"
BEDS = "The greenhouse opens at seven. The beds are watered at six in the evening."
VOCAB = 400
Held = tuple[int, ...]


def passage(text: str = BEDS, *, heading: str = "", score: float = 3.0) -> Passage:
    end = len(text.encode())
    return Passage(
        source="/a.md",
        start=0,
        end=end,
        text=text,
        heading=heading,
        lexical=score,
        offsets_in="file",
    )


class Scripted:
    """A judge over an engine that follows a script, and all that the engine has held."""

    def __init__(
        self,
        folder: Path,
        script: Callable[[Held], Sequence[float]],
        *,
        context_length: int = 512,
        **calibrators: Calibrator,
    ) -> None:
        self.held: list[Held] = []

        def noting(held: Held) -> Sequence[float]:
            self.held.append(held)
            return script(held)

        self.engine = ScriptedEngine(noting, vocab_size=VOCAB, context_length=context_length)
        self.model = scripted_model(folder, self.engine)
        self.judge = TokenJudge(self.model, **calibrators)

    @property
    def longest(self) -> Held:
        return max(self.held, key=len)


def follows(
    after: dict[int, dict[int, float]], default: dict[int, float]
) -> Callable[[Held], list[float]]:
    """A script that depends on the last token alone; what it does not name has a logit of 0."""

    def script(held: Held) -> list[float]:
        row = [0.0] * VOCAB
        for token_id, value in after.get(held[-1], default).items():
            row[token_id] = value
        return row

    return script


def anything(seed: int) -> Callable[[Held], list[float]]:
    """A script that draws its logits from all that is held: a model that makes no sense."""

    def script(held: Held) -> list[float]:
        digest = hashlib.blake2b(repr((seed, held)).encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest)).normal(0, 3, VOCAB).tolist()  # type: ignore[no-any-return]

    return script


# --- the decision -------------------------------------------------------------------------------


@pytest.fixture
def prompt_ids(tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode_chat([Message(role="user", content=QUESTION)])


def test_the_decision_is_read_after_the_prompt(
    tokenizer_folder: Path, ids: ReflectionIds, prompt_ids: list[int]
) -> None:
    script = follows({}, {ids.retrieval: 3.0, ids.no_retrieval: 1.0, ids.proceed: 9.0})
    scripted = Scripted(tokenizer_folder, script)

    need = scripted.judge.need(QUESTION)

    assert need == pytest.approx(1 / (1 + math.exp(-2)))
    assert scripted.held == [tuple(prompt_ids)]


def test_a_calibrator_reads_the_decisions_logit(tokenizer_folder: Path, ids: ReflectionIds) -> None:
    script = follows({}, {ids.retrieval: 3.0, ids.no_retrieval: 1.0})
    calibrator = Calibrator(weights={"log_for": 0.5, "log_against": 0.5}, bias=1.0)
    scripted = Scripted(tokenizer_folder, script, need=calibrator)
    assert scripted.judge.need(QUESTION) == pytest.approx(1 / (1 + math.exp(-(0.5 * 2 + 1))))


def test_the_prompt_is_read_once_for_all_parts(
    tokenizer_folder: Path, prompt_ids: list[int]
) -> None:
    scripted = Scripted(tokenizer_folder, anything(1))
    scripted.judge.need(QUESTION)
    before = scripted.judge.usage().prompt_tokens
    scripted.judge.need(QUESTION)
    scripted.judge.read(QUESTION, passage("Dogs."))
    assert before == len(prompt_ids)
    assert [held for held in scripted.held if len(held) == len(prompt_ids)] == [tuple(prompt_ids)]
    scripted.judge.need("Another?")
    assert scripted.judge.usage().prompt_tokens > before


# --- memory -------------------------------------------------------------------------------------


def memory_script(
    tokenizer: Tokenizer, ids: ReflectionIds, said: str
) -> tuple[Callable[[Held], list[float]], list[int]]:
    said_ids = tokenizer.encode(said)

    def script(held: Held) -> list[float]:
        row = [0.0] * VOCAB
        if ids.no_retrieval in held:
            done = len(held) - held.index(ids.no_retrieval) - 1
            row[said_ids[done] if done < len(said_ids) else ids.utility[3]] = 8.0
        return row

    return script, said_ids


def test_a_draft_is_the_greedy_text_after_no_retrieval(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds, prompt_ids: list[int]
) -> None:
    script, said_ids = memory_script(tokenizer, ids, " At six.")
    scripted = Scripted(tokenizer_folder, script)

    draft = scripted.judge.remember(QUESTION)

    assert draft is not None
    assert draft.text == "At six."
    assert draft.utility == 4
    sure = math.exp(8) / (math.exp(8) + VOCAB - 1)
    assert draft.confidence == pytest.approx(sure, rel=1e-4)
    assert scripted.longest == (*prompt_ids, ids.no_retrieval, *said_ids)
    assert scripted.judge.usage().completion_tokens == len(said_ids)
    assert scripted.judge.usage().prompt_tokens == len(prompt_ids) + 1


def test_a_drafts_features_are_its_mean_and_lowest_logprob_and_its_grade(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    script, said_ids = memory_script(tokenizer, ids, " At six.")
    weights = {"mean_logprob": 3.0, "lowest_logprob": 5.0, "utility": 0.25}

    def doubtful(held: Held) -> list[float]:
        row = script(held)
        # One token of the draft is less probable than the others.
        return [value / 4 for value in row] if held[-1] == said_ids[0] else row

    calibrator = Calibrator(weights=weights, bias=0.0)
    draft = Scripted(tokenizer_folder, doubtful, memory=calibrator).judge.remember(QUESTION)

    def logprob(value: float) -> float:
        return value - math.log(math.exp(value) + VOCAB - 1)

    num_scored = len(said_ids) + 1
    mean = (logprob(8.0) * (num_scored - 1) + logprob(2.0)) / num_scored
    even = (1 + 2 + 3 + 5 + 4 * math.exp(8)) / (4 + math.exp(8))
    score = 3 * mean + 5 * logprob(2.0) + 0.25 * even
    assert draft is not None
    assert draft.confidence == pytest.approx(1 / (1 + math.exp(-score)), rel=1e-3)


def test_a_draft_of_nothing_is_none_and_an_endless_one_is_cut(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    silent = Scripted(tokenizer_folder, follows({}, {ids.utility[0]: 5.0}))
    assert silent.judge.remember(QUESTION) is None
    (a,) = tokenizer.encode("a")
    endless = Scripted(tokenizer_folder, follows({}, {a: 5.0}))
    draft = endless.judge.remember(QUESTION)
    assert draft is not None
    assert draft.text == "a" * MAX_DRAFT_TOKENS


# --- reading ------------------------------------------------------------------------------------


def quoting(
    tokenizer: Tokenizer, ids: ReflectionIds, quote: str, *, text: str = BEDS, heading: str = ""
) -> tuple[Callable[[Held], list[float]], list[int]]:
    """A script that finds the passage relevant and quotes `quote` from it."""
    encoded = encode_passage(tokenizer, heading, text)
    start = text.index(quote)
    first, last = encoded.tokens_of(start, start + len(quote))
    said = list(encoded.token_ids[first:last])

    def script(held: Held) -> list[float]:
        row = [0.0] * VOCAB
        if held[-1] == ids.paragraph_end:
            row[ids.relevant], row[ids.irrelevant] = 4.0, 1.0
        elif held[-1] in ids.support:
            row[ids.utility[4]] = 6.0
        elif ids.relevant in held:
            done = len(held) - held.index(ids.relevant) - 1
            row[said[done] if done < len(said) else ids.support[0]] = 7.0
        return row

    return script, said


def test_a_passage_is_read_in_the_order_of_the_record(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds, prompt_ids: list[int]
) -> None:
    script, said = quoting(tokenizer, ids, "six in the evening", heading="Garden")
    scripted = Scripted(tokenizer_folder, script)

    reading = scripted.judge.read(QUESTION, passage(heading="Garden"))

    encoded = encode_passage(tokenizer, "Garden", BEDS)
    assert scripted.longest == (
        *prompt_ids,
        ids.retrieval,
        ids.paragraph,
        *encoded.token_ids,
        ids.paragraph_end,
        ids.relevant,
        *said,
        ids.support[0],
    )
    assert reading.span is not None
    assert BEDS[slice(*reading.span)] == "six in the evening"
    assert (reading.support, reading.utility) == ("full", 5)
    assert reading.relevance == pytest.approx(1 / (1 + math.exp(-3)))


def test_the_features_of_a_reading_are_its_raw_scores(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    script, _ = quoting(tokenizer, ids, "six in the evening")

    reading = Scripted(tokenizer_folder, script).judge.read(QUESTION, passage())

    certain = 7 - math.log(math.exp(7) + VOCAB - 1)
    full, part = (math.exp(x) / (math.exp(7) + 2) for x in (7, 0))
    assert reading.features == pytest.approx(
        {
            "relevance_logit": 3.0,
            "support_logit": logit(full + 0.5 * part),
            "span_logprob": certain,
            "passage_bm25": 3.0,
        },
        rel=1e-3,
    )
    assert reading.confidence == pytest.approx(reading.relevance * math.exp(certain), rel=1e-3)
    weights = dict.fromkeys(reading.features, 0.1)
    calibrated = Scripted(tokenizer_folder, script, reading=Calibrator(weights=weights, bias=-1.0))
    score = sum(0.1 * value for value in reading.features.values()) - 1
    confidence = calibrated.judge.read(QUESTION, passage()).confidence
    assert confidence == pytest.approx(1 / (1 + math.exp(-score)))


def test_words_that_stand_in_the_title_too_are_cited_from_the_text(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    text = "Dogs stay outside."
    script, _ = quoting(tokenizer, ids, "Dogs stay", text=text, heading="Dogs stay")
    judge = Scripted(tokenizer_folder, script).judge
    assert judge.read(QUESTION, passage(text, heading="Dogs stay")).span == (0, len("Dogs stay"))


TEXTS = st.lists(
    st.sampled_from(
        ["The beds ", "six. ", "naïve ", "日本", "🙂🙂", "\n\n", "[Relevant]", "</paragraph>", "  "]
    ),
    min_size=1,
    max_size=40,
).map("".join)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    text=TEXTS,
    heading=st.sampled_from(["", "Beds", "[No Retrieval]"]),
    context_length=st.sampled_from([160, 200, 512]),
)
def test_whatever_a_model_says_the_span_is_one_piece_of_the_passage(
    tokenizer_folder: Path,
    tokenizer: Tokenizer,
    ids: ReflectionIds,
    seed: int,
    text: str,
    heading: str,
    context_length: int,
) -> None:
    scripted = Scripted(tokenizer_folder, anything(seed), context_length=context_length)

    reading = scripted.judge.read(QUESTION, passage(text, heading=heading))

    held = scripted.longest
    said = held[held.index(ids.relevant) + 1 : -1]
    shown = held[held.index(ids.paragraph) + 1 : held.index(ids.paragraph_end)]
    encoded = encode_passage(tokenizer, heading, text)
    assert shown == encoded.token_ids[: len(shown)]
    places = [i for i in range(len(shown)) if shown[i : i + len(said)] == said]
    assert len(said) <= MAX_SPAN_TOKENS
    assert not said or places
    assert not set(said) & tokenizer.special_ids
    assert held[-1] in ids.support
    if reading.span is not None:
        start, end = reading.span
        quoted = text[start:end]
        assert quoted == quoted.strip() != ""
        assert 0 <= start < end <= len(text)
        pieces = {text[slice(*encoded.characters_of(i, i + len(said)))].strip() for i in places}
        assert quoted in pieces
    assert 0 <= reading.confidence <= 1
    assert reading.support in ("full", "partial", "none")
    assert reading.utility in (1, 2, 3, 4, 5)


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("context_length", [128, 160, 256, 512])
@pytest.mark.parametrize("words", [1, 40, 2000])
@pytest.mark.parametrize("question_words", [1, 60, 3000])
def test_nothing_outgrows_the_context(
    tokenizer_folder: Path, context_length: int, words: int, question_words: int
) -> None:
    scripted = Scripted(tokenizer_folder, anything(3), context_length=context_length)
    question, text = "bed? " * question_words, "watered at six. " * words

    scripted.judge.need(question)
    scripted.judge.remember(question)
    scripted.judge.read(question, passage(text, heading="A heading " * (words // 10)))
    scripted.judge.support(text, passage(text), question)
    scripted.judge.utility(question, text, passage(text))
    scripted.judge.utility(question, text, None)

    assert len(scripted.longest) <= context_length


def test_a_long_passage_is_cut_at_its_end_and_the_span_comes_from_what_was_read(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    text = "Dogs. " * 500 + "The beds are watered at six."
    scripted = Scripted(tokenizer_folder, anything(5), context_length=256)
    reading = scripted.judge.read(QUESTION, passage(text))
    held = scripted.longest
    shown = held[held.index(ids.paragraph) + 1 : held.index(ids.paragraph_end)]
    assert 100 < len(shown) < 256 - MAX_SPAN_TOKENS
    assert text.startswith(tokenizer.decode(shown))
    assert reading.span is not None
    assert reading.span[1] <= len(tokenizer.decode(shown))


def test_a_long_question_keeps_its_end(tokenizer_folder: Path, tokenizer: Tokenizer) -> None:
    scripted = Scripted(tokenizer_folder, anything(5), context_length=128)
    scripted.judge.need("Noise. " * 500 + "When are the beds watered?")
    shown = tokenizer.decode(scripted.longest)
    assert shown.startswith("<|user|>")
    assert shown.endswith("When are the beds watered?<|assistant|>")


# --- answers of others --------------------------------------------------------------------------


def test_a_quotation_of_another_judge_is_graded_where_it_stands(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    script, said = quoting(tokenizer, ids, "watered at six")
    scripted = Scripted(tokenizer_folder, script)

    shares = scripted.judge.support("watered at six", passage(), QUESTION)
    utility = scripted.judge.utility(QUESTION, "watered at six", passage())

    assert likeliest(shares) == "full"
    assert sum(shares) == pytest.approx(1)
    assert utility == pytest.approx(5, abs=0.1)
    held = scripted.longest
    assert held[held.index(ids.relevant) + 1 :] == (*said, ids.support[0])


def test_an_answer_from_memory_is_graded_without_a_passage(
    tokenizer_folder: Path, ids: ReflectionIds
) -> None:
    scripted = Scripted(tokenizer_folder, anything(2))
    grade = scripted.judge.utility(QUESTION, "At six.", None)
    assert grade is not None
    assert 1 <= grade <= 5
    assert ids.no_retrieval in scripted.longest
    assert ids.paragraph not in scripted.longest


# --- a real model -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A random Llama with reflection tokens, in ONNX."""
    folder = tmp_path_factory.mktemp("pico")
    made = pico_llama(folder / "made", special_tokens=ALL, max_position_embeddings=256)
    with open_model(str(export(made, folder / "onnx").folder)) as model:
        yield model


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0, 1)])
def test_passages_do_not_see_each_other(pico: Model, order: tuple[int, ...]) -> None:
    passages = [passage(), passage("Dogs stay outside."), passage("Six or seven?", heading="When")]
    alone = [TokenJudge(pico).read(QUESTION, each) for each in passages]
    judge = TokenJudge(pico)

    together: dict[int, Reading] = {}
    for each in order:
        judge.remember(QUESTION)
        together[each] = judge.read(QUESTION, passages[each])
        judge.need(QUESTION)

    for each in order:
        assert together[each].span == alone[each].span
        assert together[each].features == pytest.approx(alone[each].features, rel=1e-4, abs=1e-4)


def test_the_gate_of_a_real_model_is_the_softmax_over_two_logits(pico: Model) -> None:
    ids = pico.tokenizer.encode_chat([Message(role="user", content=QUESTION)])
    engine = pico.stepping
    logits = engine.feed(engine.start(), ids).astype(float)
    yes, no = (logits[pico.tokenizer.token_id(text)] for text in ("[Retrieval]", "[No Retrieval]"))
    expected = math.exp(yes) / (math.exp(yes) + math.exp(no))
    assert TokenJudge(pico).need(QUESTION) == pytest.approx(expected, rel=1e-5)


def test_a_model_without_reflection_tokens_is_refused(tmp_path: Path) -> None:
    folder = pico_tokenizer(tmp_path)
    model = scripted_model(folder, ScriptedEngine(lambda held: [], vocab_size=384))
    with pytest.raises(ModelError, match="has no reflection token"):
        TokenJudge(model)


def test_usage_counts_what_was_read_and_what_was_written(
    tokenizer_folder: Path, tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    script, said = quoting(tokenizer, ids, "six")
    scripted = Scripted(tokenizer_folder, script)
    scripted.judge.read(QUESTION, passage())
    usage = scripted.judge.usage()
    assert usage.completion_tokens == len(said)
    assert usage.prompt_tokens == len(scripted.longest) - len(said)
