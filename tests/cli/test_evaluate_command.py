"""`avalan model evaluate`: what it prints, for people and for programs, and how it ends."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from avalan import testing
from avalan.cli import main
from avalan.compress.export import export
from avalan.evaluate import calibration, examples, tasks
from avalan.reflection import tokens
from avalan.reflection.panel import PARTS, open_panel

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with reflection tokens, in ONNX."""
    folder = testing.pico_llama(
        tmp_path_factory.mktemp("pico"), special_tokens=tokens.ALL, max_position_embeddings=512
    )
    return export(folder, tmp_path_factory.mktemp("pico-nano")).folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data folder."""
    (tmp_path / "g3").mkdir()
    texts = ["what is two plus two", "news of today", "our rota for June", "write a poem"]
    needs = ["none", "retrieve", "retrieve", "none"]
    write(
        tmp_path / "decisions.jsonl",
        [
            {"id": f"d{i}", "prompt": text, "need": need, "kind": "math", "split": "validation"}
            for i, (text, need) in enumerate(zip(texts, needs, strict=True))
        ],
    )
    text = "Tea brews for two minutes."
    page = {"id": "p1", "title": "Tea", "split": "validation", "text": text}
    write(tmp_path / "g3" / "a.passages.jsonl", [page])
    row = {"passage": "p1", "split": "validation"}
    asked = {"id": "q1", "question": "How long does tea brew?", "answerable": True}
    unasked = {"id": "q2", "question": "Who sells tea?", "answerable": False, "answers": []}
    questions = [row | asked | {"answers": ["two minutes"]}, row | unasked]
    write(tmp_path / "g3" / "a.questions.jsonl", questions)
    (tmp_path / "house").mkdir()
    paper = {"id": "h1", "file": "tea.md", "version_of": None, "text": text}
    write(tmp_path / "house" / "a.pages.jsonl", [paper])
    asked |= {"kind": "plain", "pages": ["h1"], "answers": ["two minutes"]}
    write(tmp_path / "house" / "a.questions.jsonl", [asked])
    (tmp_path / "python").mkdir()
    asked = {"id": "y1", "question": "What is assert for?", "document": "assert", "also": []}
    asked |= {"answer": "debugging assertions", "kind": "plain", "split": "validation"}
    write(tmp_path / "python" / "a.questions.jsonl", [asked])
    return tmp_path


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A textbook of a page, with a question, two claims and a prompt."""
    folder = tmp_path / "book"
    folder.mkdir()
    page = {"id": "b1", "split": "validation", "passage": "b1"}
    text = {"title": "Boats", "register": "notice", "text": "The ferry leaves at nine."}
    write(folder / "passages.jsonl", [{"id": "b1", "split": "validation"} | text])
    question = {"question": "When does it leave?", "answerable": True, "answers": ["at nine"]}
    write(folder / "questions.jsonl", [page | {"id": "b1-q", "kind": "date"} | question])
    claims = [("It leaves at nine.", "full"), ("It is blue.", "none")]
    write(
        folder / "claims.jsonl",
        [page | {"id": claim, "claim": claim, "support": grade} for claim, grade in claims],
    )
    prompt = {"prompt": "guten Tag", "need": "none", "kind": "talk", "language": "de"}
    write(folder / "prompts.jsonl", [{"id": "b1-p", "split": "validation"} | prompt])
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluate(capsys: Captured, *words: str, code: int = 0) -> tuple[str, str]:
    assert main(["model", "evaluate", *words]) == code
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return output.out, output.err


def test_a_model_and_the_rules_stand_side_by_side(pico: Path, data: Path, capsys: Captured) -> None:
    words = ("--task", "grounded-qa", "--level", "G1,G3", "--num", "2", "--top-k", "1")
    out, err = evaluate(capsys, str(pico), *words, "--data", str(data))
    lines = out.splitlines()
    assert lines[0] == "grounded-qa · validation · seed 0 · top-k 1"
    sizes = [line for line in lines if re.match(r"G\d  2 examples, \d of them answerable", line)]
    assert [size[:2] for size in sizes] == ["G1", "G3"]
    assert sum(line.split()[-2:] == [pico.name, "rules"] for line in lines) == 2
    assert sum(bool(re.match(r"paired test +p = ", line)) for line in lines) == 2
    assert max(map(len, lines)) <= 80
    assert "McNemar" in err


@pytest.mark.parametrize(("task", "num"), [("grounded-qa", 1), ("retrieval-decision", 1)])
def test_the_textbook_is_a_level(book: Path, capsys: Captured, task: str, num: int) -> None:
    words = ("rules", "--task", task, "--level", "T", "--textbook", str(book), "--json")
    (section,) = json.loads(evaluate(capsys, *words)[0])["levels"]
    assert (section["level"], section["n"]) == ("T", num)


def test_invented_papers_are_a_level_of_questions(data: Path, capsys: Captured) -> None:
    words = ("rules", "--level", "H", "--data", str(data), "--task")
    (section,) = json.loads(evaluate(capsys, *words, "grounded-qa", "--json")[0])["levels"]
    assert (section["level"], section["n"]) == ("H", 1)
    err = evaluate(capsys, *words, "retrieval-decision", code=1)[1]
    assert "no prompts" in err
    assert "--task grounded-qa" in err


def test_json_holds_everything_and_nothing_else_is_printed(data: Path, capsys: Captured) -> None:
    words = ("--task", "retrieval-decision", "--level", "G3", "--seed", "5", "--json")
    out, err = evaluate(capsys, "rules", *words, "--data", str(data))
    found = json.loads(out)
    assert (found["task"], found["split"], found["seed"]) == (
        "retrieval-decision",
        "validation",
        5,
    )
    assert set(found["data"]) == {"decisions.jsonl", "g3/a.passages.jsonl", "g3/a.questions.jsonl"}
    (level,) = found["levels"]
    assert [example["id"] for example in level["examples"]] == ["d0", "d1", "d2", "d3"]
    assert set(level["panels"]) == {"rules"}
    assert level["panels"]["rules"]["figures"]["accuracy"]["n"] == 4
    assert err == ""


def test_without_a_checkout_g3_is_skipped_with_a_sentence(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "default_data", lambda: None)
    words = ("rules", "--task", "retrieval-decision", "--num", "4")
    out, err = evaluate(capsys, *words)
    assert "G1  4 examples" in out
    assert "G3" not in out
    assert "G3 is skipped" in err
    assert "--data DIR" in err
    assert "--data DIR" in evaluate(capsys, *words, "--level", "G3", code=1)[1]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ([], 2, "with --task: grounded-qa, "),
        (["--task", "poetry"], 2, "no task called 'poetry'"),
        (["--task", "grounded-qa", "--level", "G7"], 2, "no level 'G7'"),
        (["--task", "grounded-qa", "--split", "train"], 2, "choose validation or test"),
        (["--task", "grounded-qa", "--num", "0"], 2, "--num is 0"),
        (["--task", "grounded-qa", "--num", "99999999999"], 2, "at most 1,000,000"),
        (["--task", "grounded-qa", "--seed", "-1"], 2, "--seed is -1"),
        (["--task", "grounded-qa", "--top-k", "0"], 2, "--top-k is 0"),
        (["--task", "grounded-qa", "--engine", "steam"], 2, "no engine called 'steam'"),
        (["--task", "grounded-qa", "--num-threads", "0"], 2, "--num-threads is 0"),
        (["", "--task", "grounded-qa"], 2, "name of the model is empty"),
        (["embedder", "--task", "grounded-qa"], 2, "'embedder' is not a language model"),
        (["--task", "grounded-qa", "--num", "many"], 2, "not a whole number"),
        (["--task", "grounded-qa", "--data", "nowhere"], 1, "nowhere"),
        (["--task", "grounded-qa", "--out", "x.json"], 2, "--out goes with --calibrate"),
        (["--calibrate"], 2, "--out FILE"),
        (["--calibrate", "--out", "x.json", "--top-k", "0"], 2, "--top-k is 0"),
        (["--calibrate", "--out", "x.json", "--seed", "-1"], 2, "--seed is -1"),
        (["--calibrate", "--out", "x.json", "--task", "adaptive-qa"], 2, "leave --task and"),
        (["rules", "--calibrate", "--task", "grounded-qa", "--out", "x"], 2, "leave --out"),
        (["--calibrate", "--task", "grounded-qa"], 2, "A reserve is fitted for one model"),
        (["rules", "--calibrate", "--task", "grounded-qa", "--budget", "1"], 2, "for decisions"),
        (
            ["--calibrate", "--out", "x.json", "--target-precision", "1"],
            2,
            "add --task grounded-qa",
        ),
        (["rules", "--task", "grounded-qa", "--target-precision", "1"], 2, "go with --calibrate"),
        (["--calibrate", "--out", "x.json", "--split", "test"], 2, "must stay unseen"),
        (["--calibrate", "--out", "nowhere/x.json"], 1, "cannot be written"),
        (["default", "--calibrate", "--out", "x.json"], 2, "what --calibrate chooses"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    words: list[str],
    code: int,
    complaint: str,
    capsys: Captured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = evaluate(capsys, *words, code=code)
    assert complaint in err
    assert out == ""
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_there_is_named_before_another_is_measured(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was measured")

    monkeypatch.setattr(tasks, "run", never)
    words = ("bundled", "models/nowhere", "--task", "retrieval-decision", "--num", "2")
    assert "models/nowhere" in evaluate(capsys, *words, code=1)[1]


def test_calibration_writes_what_panels_read(
    pico: Path,
    data: Path,
    book: Path,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "NUM_TAUGHT", 3)
    file = tmp_path / "calibration.json"
    words = ("--calibrate", "--out", str(file), "--data", str(data), "--top-k", "1")
    out, _ = evaluate(capsys, str(pico), *words, "--textbook", str(book))
    assert out.splitlines()[-1] == f"Wrote {file}."
    assert [line.split()[0] for line in out.splitlines()[1:7]] == list(PARTS)
    found = json.loads(file.read_text())
    assert set(found) == {"default", "judges", "fitted_on"}
    assert set(found["judges"]) == {str(pico), "rules"}
    assert found["fitted_on"]["n"] == {
        "need": 5, "memory": 8, "relevance": 2, "span": 1, "abstention": 4, "answer": 5,
        "sure": 4, "support": 2, "reference": 1,
    }  # fmt: skip


GATE = ("--task", "retrieval-decision", "--calibrate")


def test_a_gate_is_fitted_for_a_model_and_kept(
    pico: Path,
    data: Path,
    book: Path,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))
    more = [
        {"id": f"e{i}", "prompt": text, "need": need, "kind": "math", "split": "validation"}
        for i in range(12)
        for text, need in ((f"what is {i} plus {i}", "none"), (f"our rota of {i} June", "retrieve"))
    ]
    write(data / "decisions.jsonl", more)
    words = (*GATE, "--data", str(data), "--textbook", str(book))
    out, _ = evaluate(capsys, str(pico), *words, "--budget", "0.4")
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:8]] == [
        "token + draft + similarity + reader + router + rules",
        *("token", "draft", "similarity", "reader", "router", "rules"),
    ]
    assert "of 25 prompts" in out
    path = Path(lines[-1].removeprefix("Wrote ").removesuffix("."))
    fitted = json.loads(path.read_text())
    assert fitted["fitted_on"]["looked_up"] <= 0.4
    assert fitted["fitted_on"]["aim"] == {"budget": 0.4, "accuracy": None}
    with open_panel(str(pico)) as panel:
        assert panel.need.way == "combined"
        assert panel.thresholds.need == fitted["threshold"]
        assert 0 <= panel.need.need("our rota of May") <= 1


def test_a_reserve_is_fitted_for_a_model_and_kept(
    data: Path, book: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))
    words = ("--task", "grounded-qa", "--calibrate", "--target-precision", "0.22", "--json")
    out, _ = evaluate(capsys, "rules", *words)
    fitted = json.loads(out)
    assert fitted["fitted_on"]["num_asked"] == 200
    with open_panel("rules") as panel:
        assert panel.thresholds.answer == fitted["least"] > 0
        assert panel.thresholds.sure == fitted["sure"]
    written = ("--task", "grounded-qa", "--calibrate", "--data", str(data), "--textbook", str(book))
    _, said = evaluate(capsys, "rules", *written, code=1)
    assert "nothing can be fitted" in " ".join(said.split())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "fitted for one model"),
        (("default",), "fitted for one model"),
        (("bundled", "rules"), "fitted for one model"),
        (("rules", "--out", "x.json"), "leave --out"),
        (("rules", "--split", "test"), "--split out"),
        (("rules", "--budget", "0.4", "--target-accuracy", "0.9"), "two aims"),
        (("rules", "--budget", "1.5"), "between 0 and 1"),
        (("rules", "--target-accuracy", "no"), "not a number"),
    ],
)
def test_what_a_gate_cannot_be_fitted_for_is_said(
    capsys: Captured, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in " ".join(evaluate(capsys, *words, *GATE, code=2)[1].split())


def test_the_signs_of_a_model_stand_side_by_side(
    pico: Path, data: Path, book: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = ("--task", "retrieval-decision", "--signs", "--level", "G1", "--num", "30")
    report = tmp_path / "report"
    out, _ = evaluate(capsys, str(pico), *words, "--json", "--report", str(report))
    (level,) = json.loads(out)["levels"]
    assert list(level["panels"]) == [
        *("token", "draft", "similarity", "reader", "router", "rules"),
        *("combined", "always", "never", "at random"),
    ]
    assert level["panels"]["always"]["figures"]["looked up"]["value"] == 1.0
    assert set(level["comparisons"]) == set(level["panels"]) - {"rules"}
    assert (report / "reliability-G1.png").is_file()


@pytest.mark.parametrize(
    "words", [("rules", "--task", "grounded-qa"), ("--task", "retrieval-decision")]
)
def test_signs_are_of_one_models_decisions(capsys: Captured, words: tuple[str, ...]) -> None:
    assert "--signs compares" in evaluate(capsys, *words, "--signs", code=2)[1]


def test_an_aim_needs_a_gate_to_fit(capsys: Captured) -> None:
    for words in (("--calibrate", "--out", "x"), ("--task", "grounded-qa")):
        assert "--budget" in evaluate(capsys, "rules", *words, "--budget", "0.4", code=2)[1]


def test_the_same_seed_calibrates_to_the_same_bytes(
    data: Path, book: Path, tmp_path: Path, capsys: Captured
) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        words = ("rules", "--calibrate", "--out", str(file), "--data", str(data), "--json")
        words += ("--textbook", str(book))
        out, _ = evaluate(capsys, *words)
        assert json.loads(out) == json.loads(file.read_text())
    assert files[0].read_bytes() == files[1].read_bytes()
