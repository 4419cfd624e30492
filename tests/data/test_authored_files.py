"""Records from documents on disk, by real models, whose words are kept or dropped for a reason."""

import json
from pathlib import Path

import pytest

from avalan import testing
from avalan.cli import main
from avalan.data import authored_files
from avalan.data.authored_files import Cast, write
from avalan.data.record_files import read_records
from avalan.data.shards import manifest
from avalan.errors import ConfigurationError, RetrievalError
from avalan.model.entities import Message
from avalan.model.load import open_model
from avalan.model.prompt import load_tokenizer

TEXT = (
    "The library of Ollerby opens at nine in the morning on all days but Sunday. Its reading room "
    "has forty seats, and the garden behind it belongs to the town."
)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.md").write_text(TEXT.replace("Ollerby", f"Ollerby {number}"))
    (folder / "short.md").write_text("Closed.")
    return folder


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that always asks the same."""
    said = '{"question": "When does it open?", "answer": "at nine in the morning"}'
    return testing.pico_speaker(
        tmp_path_factory.mktemp("speaker"),
        [said],
        chat_template=testing.pico.CHAT_TEMPLATE,
        max_position_embeddings=2048,
    )


def test_the_generator_writes_and_a_short_passage_is_left_out(
    docs: Path, speaker: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told = write([str(docs)], Cast(generator=str(speaker)), out)
    rows = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert told["without_record"] == {"short": 1}
    assert "| short | 1 |" in (out / "README.md").read_text()
    assert {row["messages"][0]["content"] for row in rows} == {"When does it open?"}
    assert load_tokenizer(speaker).eos_ids


def test_what_was_written_becomes_a_data_set_without_what_comes_twice(
    docs: Path, speaker: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told = write([str(docs)], Cast(generator=str(speaker)), out)
    # Each asks the same in the same words, of pages that differ in a number.
    assert (told["num_kept"], told["dropped"]) == (1, {"alike": 3})
    (kept,) = [each for split in ("train", "validation") for each in read_records(out, split)]
    assert kept.messages[0].content == "When does it open?"
    assert "3 alike" in (out / "README.md").read_text()
    assert manifest(out) == told


def test_no_record_has_what_a_test_has(docs: Path, speaker: Path, tmp_path: Path) -> None:
    test = tmp_path / "tests.jsonl"
    test.write_text(json.dumps({"text": TEXT.replace("Ollerby", "Ollerby 0")}) + "\n")
    told = write([str(docs)], Cast(generator=str(speaker)), tmp_path / "out", tested=[test])
    assert told["dropped"] == {"tested": 4}
    assert told["tested"] == ["tests.jsonl"]


def test_a_kill_loses_nothing_and_doubles_nothing(
    docs: Path, speaker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    write([str(docs)], Cast(generator=str(speaker)), whole)
    cut = tmp_path / "cut"

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write([str(docs)], Cast(generator=str(speaker)), cut, tell=stop)
    # A record whose progress was not written, and half of a line.
    with (cut / "records.jsonl").open("a") as file:
        file.write("{torn")
    with (cut / "progress.jsonl").open("a") as file:
        file.write('{"size": 1')
    write([str(docs)], Cast(generator=str(speaker)), cut)
    names = {path.name for path in whole.iterdir()}
    assert names == {path.name for path in cut.iterdir()} >= {"manifest.json", "README.md"}
    assert all((cut / name).read_bytes() == (whole / name).read_bytes() for name in names)
    with pytest.raises(ConfigurationError, match="something else than these documents"):
        write([str(docs)], Cast(generator=str(speaker)), cut, seed=8)
    # As many passages, which say something else now.
    page = next(path for path in sorted(docs.iterdir()) if path.is_file())
    page.write_text(page.read_text().replace("a", "e"))
    with pytest.raises(ConfigurationError, match="something else than these documents"):
        write([str(docs)], Cast(generator=str(speaker)), cut)


def test_what_is_drawn_does_not_depend_on_what_was_asked_before(pico_folder: Path) -> None:
    first, other = ([Message(role="user", content=text)] for text in ("the river", "a bank"))
    with open_model(str(pico_folder)) as model:
        said = authored_files._says(model, 3)
        told = [said(first, None), said(first, None), said(other, None)]
        assert len(set(told)) == 3
        again = authored_files._says(model, 3)
        assert [again(other, None), again(first, None), again(first, None)] == [
            told[2], told[0], told[1],
        ]  # fmt: skip
        seeds = (authored_files._says(model, seed) for seed in range(4, 9))
        assert any(other_says(first, None) != told[0] for other_says in seeds)


def test_the_command_counts_what_a_random_model_writes(
    docs: Path,
    speaker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(authored_files, "_MOST_TOKENS", 8)
    random = testing.pico_llama(tmp_path / "random", max_position_embeddings=2048)
    words = ["data", "synthesize", "--docs", str(docs), "--out", "made"]
    assert main([*words, "--generator", str(random), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kept"] == []
    assert sum(told["without_record"].values()) == 5
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    roles = ["--generator", str(speaker), "--reviewer", str(random), "--adjudicator", str(random)]
    assert main([*words[:-1], "other", *roles, "--student", str(speaker)]) == 0
    assert "records are in other." in capsys.readouterr().out
    assert main(words) == 2
    assert "add: --generator MODEL" in capsys.readouterr().err
    for more, why in ((["--shard", "1/2"], "are for recipes"), (["--n", "0"], "from 1 on")):
        assert main([*words, "--generator", str(random), *more]) == 2
        assert why in capsys.readouterr().err


def test_no_documents_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RetrievalError, match="holds no text that can be indexed"):
        write([str(tmp_path / "empty")], Cast(generator="bundled"), tmp_path / "out")
