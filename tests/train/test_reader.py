"""Teaching the reader: what a row says, what it is graded by, and that a killed run goes on."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file

from avalan import testing
from avalan.cli import main
from avalan.data import textbook
from avalan.data.textbook import Claim, Inquiry, Page, Prompt, Textbook
from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import GRADES
from avalan.model.nlp.encoder_tokenizer import read_tokenizer
from avalan.model.nlp.judge import NUM_HEADS
from avalan.model.nlp.judge_onnx import open_reader
from avalan.train.kinds import load_any
from avalan.train.plan import num_reader_parameters, plan
from avalan.train.reader import Reader, teach
from avalan.train.reader_lessons import Exercises, Lesson, long_texts, written_lessons
from avalan.train.reader_losses import IGNORED, binary_loss, choice_loss, span_loss
from avalan.train.reader_recipe import EXERCISES, SHARES, ReaderRecipe
from avalan.train.reader_rows import Steps, batch, row

PICO = """
kind = "reader"
[base]
model = "{base}"
[lessons]
textbook = "{book}"
max_tokens = 48
[run]
num_steps = 4
rows_per_step = 6
warmup_steps = 2
save_steps = 2
"""
TEXTS = ("The cat sat on the mat.", "The train leaves the harbour at 9.", "A garden.")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.pico_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> tokenizers.Tokenizer:
    return read_tokenizer(base)


def small() -> Textbook:
    pages = tuple(
        Page(id=f"p{i}", title=f"Page {i}", register="note", split="train", text=text)
        for i, text in enumerate(TEXTS)
    )
    asked = (
        ("p0", "who sat on the mat", ("The cat", "cat")),
        ("p1", "when does the train leave", ("at 9",)),
        ("p2", "who looks at the garden", ()),
    )
    inquiries = tuple(
        Inquiry(id=f"q{i}", passage=p, split="train", question=q, answers=a, kind="thing")
        for i, (p, q, a) in enumerate(asked)
    )
    claims = tuple(
        Claim(id=f"c{i}", passage="p0", split="train", claim=f"a cat {i}", support=support)
        for i, support in enumerate(GRADES)
    )
    prompts = (
        Prompt(id="r0", prompt="hello", need="none", kind="talk", language="en", split="train"),
        Prompt(
            id="r1",
            prompt="our rule",
            need="retrieve",
            kind="private",
            language="en",
            split="train",
        ),
    )
    return Textbook(pages=pages, inquiries=inquiries, claims=claims, prompts=prompts)


@pytest.fixture(scope="module")
def recipe(base: Path, tmp_path_factory: pytest.TempPathFactory) -> ReaderRecipe:
    folder = tmp_path_factory.mktemp("book")
    book = small()
    files = {
        "passages": book.pages,
        "questions": book.inquiries,
        "claims": book.claims,
        "prompts": book.prompts,
    }
    for name, rows in files.items():
        lines = [asdict(each) for each in rows]
        if name == "questions":
            lines = [line | {"answerable": bool(line["answers"])} for line in lines]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert textbook.read(folder) == book
    file = folder / "pico.toml"
    file.write_text(PICO.format(base=base, book=folder))
    found = load_any(str(file))
    assert isinstance(found, ReaderRecipe)
    return found


@pytest.fixture(scope="module")
def finished(recipe: ReaderRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    teach(recipe, out, lambda _event: None, device="cpu")
    return out


def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    recipe: ReaderRecipe, finished: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(_event: object) -> None:
        if (tmp_path / "checkpoint-2").is_dir():
            raise Killed

    with pytest.raises(Killed):
        teach(recipe, tmp_path, kill, device="cpu")
    teach(recipe, tmp_path, lambda _event: None, device="cpu")
    again, once = (load_file(out / "model/model.safetensors") for out in (tmp_path, finished))
    assert all(torch.equal(again[key], once[key]) for key in once)
    assert once["heads.weight"].shape == (NUM_HEADS, 32)


def test_a_base_that_is_a_reader_goes_on_with_its_heads(
    recipe: ReaderRecipe, finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base = replace(recipe.base, model=str(finished / "model"))
    run = replace(recipe.run, learning_rate=1e-9)
    teach(replace(recipe, base=base, run=run), tmp_path, lambda _event: None, device="cpu")
    before, after = (
        load_file(out / "model/model.safetensors")["heads.weight"] for out in (finished, tmp_path)
    )
    assert before.std() > 0.01
    assert torch.allclose(before.float(), after.float(), atol=1e-4)
    assert capfd.readouterr() == ("", "")


def test_the_exported_reader_says_what_the_trained_one_says(
    finished: Path, tokenizer: tokenizers.Tokenizer, tmp_path: Path
) -> None:
    weights = load_file(finished / "model/model.safetensors")
    reader = Reader(transformers.BertModel(
        transformers.BertConfig.from_pretrained(finished / "model"), add_pooling_layer=False
    ))  # fmt: skip
    reader.encoder.load_state_dict(
        {name: each.float() for name, each in weights.items() if not name.startswith("heads.")}
    )
    reader.heads.weight.data = weights["heads.weight"].float()
    reader.heads.bias.data = weights["heads.bias"].float()
    made = batch([row(Lesson(text="cat", page="the mat"), tokenizer, 24, Random(0))])
    inputs = (made["input_ids"], made["mask"], made["kinds"])
    expected = reader.eval()(*inputs).detach().numpy()
    assert not np.allclose(
        expected, reader(made["input_ids"], made["mask"], made["kinds"] * 0).detach().numpy()
    )
    for precision, tolerance in (("fp32", 1e-4), ("int8", 0.6)):
        out = tmp_path / precision
        words = ["--out", str(out), "--precision", precision]
        assert main(["model", "export", str(finished / "model"), *words]) == 0
        found = open_reader(out)._run(*(each.numpy() for each in inputs))
        assert np.abs(found - expected).max() < tolerance
    with pytest.raises(ModelError, match="is no reader"):
        open_reader(tmp_path)


def test_a_reader_of_one_s_own_answers_questions(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, notes = tmp_path / "reader", tmp_path / "notes.txt"
    notes.write_text("The cat sat on the mat. The train leaves at 9.")
    assert main(["model", "export", str(finished / "model"), "--out", str(folder)]) == 0
    capsys.readouterr()
    words = ["ask", "who sat on the mat", "--docs", str(notes), "--model", str(folder), "--json"]
    assert main([*words, "--retrieve", "always", "--min-confidence", "0"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == str(folder)
    (citation,) = found["citations"]
    assert notes.read_text()[citation["start"] : citation["end"]] == found["answer"]
    (folder / "model.onnx").write_bytes(b"no model")
    assert main(words) == 1
    said = capsys.readouterr()
    assert "model.onnx" in said.err + said.out
    assert "Traceback" not in said.err


def test_the_command_tells_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "train", "reader", "--dry-run", "--out", str(tmp_path / "run")]) == 0
    assert "The plan of reader" in capsys.readouterr().out
    recipe = load_any("reader")
    assert plan(recipe, tmp_path / "run").num_parameters == num_reader_parameters()


def test_a_reader_of_minilm_s_sizes_has_as_many_weights_as_its_plan_says() -> None:
    config = transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, intermediate_size=1536, num_attention_heads=12
    )
    with torch.device("meta"):
        bert = transformers.BertModel(config, add_pooling_layer=False)
    encoder = sum(weight.numel() for weight in bert.parameters())
    assert num_reader_parameters() == encoder + NUM_HEADS * 385


# --- rows -----------------------------------------------------------------------------------------


def test_lessons_of_the_textbook() -> None:
    lessons = written_lessons(small())
    first, second, third = lessons["asked"]
    assert [first.page[slice(*span)] for span in first.spans or ()] == ["The cat"]
    assert first.page.startswith("Page 0\n\n")
    assert (second.relevant, third.relevant, third.spans) == (True, False, ())
    assert all(each.spans == () and each.relevant is False for each in lessons["strange"])
    pages = {each.text: each.page for each in lessons["asked"]}
    assert all(each.page != pages[each.text] for each in lessons["strange"])
    assert [each.support for each in lessons["claims"]] == [0, 1, 2, 3]
    assert [each.retrieve for each in lessons["prompts"]] == [False, True]


def test_a_row_says_where_the_answer_is(tokenizer: tokenizers.Tokenizer) -> None:
    page = "the cat sat on the mat. " * 20 + "the train leaves at 9."
    start = page.index("at 9")
    lesson = Lesson(text="when", page=page, spans=((start, start + 4),), relevant=True)
    for seed in range(5):
        made = row(lesson, tokenizer, 40, Random(seed))
        first, last = made.window.places[made.start], made.window.places[made.end]
        assert first is not None
        assert last is not None
        assert page[first[0] : last[1]] == "at 9"
    elsewhere = row(Lesson(text="who", page=page, spans=()), tokenizer, 40, Random(0))
    assert (elsewhere.start, elsewhere.end, elsewhere.relevant) == (0, 0, IGNORED)
    bare = row(Lesson(text="hello", retrieve=True), tokenizer, 40, Random(0))
    assert (bare.start, bare.retrieve) == (IGNORED, 1)


def test_an_answer_that_no_window_has_whole_is_not_asked_for(
    tokenizer: tokenizers.Tokenizer,
) -> None:
    page = "the cat sat on the mat at the garden " * 8
    lesson = Lesson(text="what", page=page, spans=((0, len(page) - 1),), relevant=True)
    made = row(lesson, tokenizer, 24, Random(0))
    assert (made.start, made.relevant) == (IGNORED, IGNORED)


@pytest.mark.parametrize("support", range(4))
def test_a_claim_is_graded_beside_the_part_of_a_page_that_it_speaks_of(
    tokenizer: tokenizers.Tokenizer, support: int
) -> None:
    page = "the cat sat on the mat at the garden " * 8 + "the train leaves at 9."
    for seed in range(5):
        lesson = Lesson(text="train leaves", page=page, support=support)
        made = row(lesson, tokenizer, 40, Random(seed))
        last = max(place[1] for place in made.window.places if place)
        assert (made.support, last) == (support, len(page))


def test_a_share_without_lessons_is_told(
    recipe: ReaderRecipe, tokenizer: tokenizers.Tokenizer
) -> None:
    bare = replace(small(), prompts=())
    with pytest.raises(ConfigurationError, match=r"no lessons for lessons\.prompts"):
        Steps(recipe, bare, tokenizer)


def test_an_answer_is_pointed_at_where_it_stands_alone() -> None:
    text = "The 410 takes 4 seconds."
    page = Page(id="p", title="Model 4", register="manual", split="train", text=text)
    asked = replace(small().inquiries[0], passage="p", answers=("4",))
    (lesson,) = written_lessons(Textbook(pages=(page,), inquiries=(asked,), claims=(), prompts=()))[
        "asked"
    ]
    (span,) = lesson.spans or ()
    assert lesson.page[span[0] - 6 : span[1] + 8] == "takes 4 seconds"


def test_a_batch_is_padded_and_answers_begin_in_pages_only(
    tokenizer: tokenizers.Tokenizer,
) -> None:
    lessons = [Lesson(text="cat", page="the mat", support=2), Lesson(text="hello", retrieve=False)]
    made = batch([row(each, tokenizer, 24, Random(0)) for each in lessons])
    assert made["mask"].sum(dim=1).tolist() == [6, 7]  # "hello" is five letters here.
    assert made["allowed"][0].tolist() == [True, False, False, True, True, False, False]
    assert made["allowed"][1].tolist() == [True] + [False] * 6
    assert made["support"].tolist() == [2, IGNORED]
    assert made["retrieve"].tolist() == [IGNORED, 0]
    assert made["kinds"][0].tolist() == [0, 0, 0, 1, 1, 1, 0]


def test_lessons_by_program_have_their_answers_where_they_say() -> None:
    answered = 0
    exercises = Exercises(small())
    for seed in range(60):
        lesson = exercises.lesson("worlds", Random(seed))
        assert lesson.relevant is not None
        assert lesson.relevant or lesson.spans == ()
        answered += bool(lesson.spans)
        assert exercises.lesson("phrases", Random(seed)).retrieve is not None
    assert answered > 15


def test_lessons_that_are_made_of_the_pages() -> None:
    exercises = Exercises(small())
    gaps = [exercises.lesson("gaps", Random(seed)) for seed in range(40)]
    train = {
        (each.text, each.page[slice(*span)])
        for each in gaps
        for span in each.spans or ()
        if "Page 1" in each.page
    }
    assert train
    assert all(part not in question for question, part in train)
    claims = [exercises.lesson("changed", Random(seed)) for seed in range(200)]
    assert {each.support for each in claims} >= {0, 1, 2, 3}


def test_exercises_are_made_of_other_texts_too_if_they_are_long(tmp_path: Path) -> None:
    words = " ".join(f"Word{i} stands before the {i} of October." for i in range(20))
    file = tmp_path / "texts.txt"
    file.write_text(f"Too short to ask about.\nA title\\n{words}\n")
    texts = long_texts((str(file),), 9)
    assert texts == [f"A title\n{words}"]
    assert long_texts((str(file),), 1) == []
    exercises = Exercises(small(), texts)
    lessons = [exercises.lesson("gaps", Random(seed)) for seed in range(60)]
    assert any(each.page == texts[0] and each.spans for each in lessons)
    assert any(each.spans == () and each.relevant is False for each in lessons)
    with pytest.raises(ConfigurationError, match=r"embedder_corpus\.py"):
        long_texts((str(tmp_path / "none.txt"),), 9)


def test_a_run_may_open_with_exercises(
    recipe: ReaderRecipe, tokenizer: tokenizers.Tokenizer
) -> None:
    lessons = replace(recipe.lessons, opening=0.5, worlds=0, gaps=0, changed=0, phrases=1, asked=99)
    steps = Steps(replace(recipe, lessons=lessons), small(), tokenizer)
    first, last = steps[0], steps[len(steps) - 1]
    assert (first["retrieve"] != IGNORED).all()
    assert (last["start"] != IGNORED).any()
    shares = {f"lessons.{share}": "0" for share in EXERCISES}
    with pytest.raises(ConfigurationError, match="opens with exercises"):
        load_any("reader", shares | {"lessons.opening": "0.5"})


def test_a_question_with_its_answer_is_supported_and_with_another_is_not() -> None:
    book = small()
    two = (
        Inquiry(id="q8", passage="p1", split="train", question="which train", answers=("train",),
                kind="name"),
        Inquiry(id="q9", passage="p1", split="train", question="what colour", answers=(),
                kind="missing"),
    )  # fmt: skip
    stated = written_lessons(replace(book, inquiries=(*book.inquiries, *two)))["stated"]
    said = {(each.text, GRADES[each.support or 0]) for each in stated}
    assert ("when does the train leave at 9", "full") in said
    assert ("when does the train leave train", "contradicted") in said
    assert ("what colour train", "none") in said


def test_only_a_page_that_is_asked_for_an_answer_is_read_in_part(
    recipe: ReaderRecipe, tokenizer: tokenizers.Tokenizer
) -> None:
    lessons = replace(recipe.lessons, shortest=20, max_tokens=40)
    steps = Steps(replace(recipe, lessons=lessons), small(), tokenizer)
    asked, claimed = Lesson(text="who", page="x", spans=()), Lesson(text="so", page="x", support=1)
    rooms = {steps.room(asked, Random(seed)) for seed in range(200)}
    assert rooms == set(range(20, 41))
    assert {steps.room(claimed, Random(seed)) for seed in range(9)} == {40}


def test_a_step_is_the_same_every_time(
    recipe: ReaderRecipe, tokenizer: tokenizers.Tokenizer
) -> None:
    steps = Steps(recipe, small(), tokenizer)
    first, again, other = steps[0], steps[0], steps[1]
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["input_ids"], other["input_ids"])


# --- losses ---------------------------------------------------------------------------------------


def test_span_loss_by_hand() -> None:
    logits = torch.zeros(2, 3, NUM_HEADS)
    logits[0, 2, 0], logits[0, 2, 1] = math.log(3), math.log(9)
    allowed = torch.tensor([[True, False, True], [True, True, True]])
    starts, ends = torch.tensor([2, IGNORED]), torch.tensor([2, IGNORED])
    expected = (-math.log(3 / 4) - math.log(9 / 10)) / 2
    assert span_loss(logits, allowed, starts, ends).item() == pytest.approx(expected)
    assert span_loss(logits, allowed, ends * 0 + IGNORED, ends).item() == 0


def test_binary_and_choice_loss_by_hand() -> None:
    logits = torch.tensor([math.log(3), -math.log(4), 5.0])
    expected = (-math.log(3 / 4) - math.log(4 / 5)) / 2
    found = binary_loss(logits, torch.tensor([1, 0, IGNORED]))
    assert found.item() == pytest.approx(expected)
    choices = torch.tensor([[math.log(2), 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]])
    found = choice_loss(choices, torch.tensor([0, IGNORED]))
    assert found.item() == pytest.approx(-math.log(2 / 5))
    nothing = torch.tensor([IGNORED, IGNORED])
    assert choice_loss(choices, nothing).item() == binary_loss(logits[:2], nothing).item() == 0


@pytest.mark.parametrize(
    ("key", "value"), [("lessons.max_tokens", "900"), ("loss.span", "-1"), ("lessons.asked", "x")]
)
def test_an_impossible_value_is_refused(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=key.partition(".")[2]):
        load_any("reader", {key: value})


def test_a_recipe_of_no_lessons_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="all 0"):
        load_any("reader", {f"lessons.{share}": "0" for share in SHARES})


def test_nothing_is_said_but_events(
    recipe: ReaderRecipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    transformers.utils.logging.enable_progress_bar()
    teach(recipe, tmp_path, lambda _event: None, device="cpu")
    assert capfd.readouterr() == ("", "")
