"""`avalan data`: make a data set, and look at it."""

import json
from pathlib import Path

import pytest

from avalan.cli import main
from avalan.data import shards
from avalan.data.synthesis import load_recipe
from avalan.reflection.tokens import AVALON
from avalan.testing import pico_tokenizer

CAPFD = pytest.CaptureFixture[str]

SMALL = """
[size]
num = 60
shard_rows = 50
validation = 0.1
test = 0.1

[mix]
selfrag = 3
general = 1

[parts.selfrag]
simple = 1
decisions = 1

[parts.general]
sums = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return str(file)


@pytest.fixture
def made(recipe: str, tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    assert main(["data", "synthesize", recipe, "--out", str(folder), "--quiet"]) == 0
    return folder


def test_a_data_set_is_made_and_counted(recipe: str, tmp_path: Path, capfd: CAPFD) -> None:
    folder = tmp_path / "set"
    assert main(["data", "synthesize", recipe, "--out", str(folder), "--tests", recipe]) == 0
    said = capfd.readouterr().out
    assert "60 records of" in said
    assert f"in {folder}." in said
    assert (
        sum(1 for split in ("train", "validation", "test") for _ in shards.records(folder, split))
        == 60
    )


def test_the_manifest_is_the_document(recipe: str, made: Path, capfd: CAPFD) -> None:
    capfd.readouterr()
    assert main(["data", "synthesize", recipe, "--out", str(made), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == shards.manifest(made)


def test_flags_go_before_the_file(recipe: str, tmp_path: Path, capfd: CAPFD) -> None:
    words = ["--n", "20", "--seed", "3", "--mix", "general=1", "--out", str(tmp_path / "set")]
    assert main(["data", "synthesize", recipe, *words, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["num_kept"], told["recipe"]["size"]["seed"]) == (20, 3)
    assert {row["part"] for row in told["kept"]} == {"general"}


def test_shares_are_drawn_apart_and_finished_together(
    recipe: str, made: Path, tmp_path: Path, capfd: CAPFD
) -> None:
    both = tmp_path / "both"
    for number in ("2/2", "1/2"):
        assert main(["data", "synthesize", recipe, "--out", str(both), "--shard", number]) == 0
        assert shards.manifest(both) is None
    assert "without --shard" in capfd.readouterr().err
    assert main(["data", "synthesize", recipe, "--out", str(both), "--quiet"]) == 0
    for name in ("manifest.json", "train-00000.parquet", "README.md"):
        assert (both / name).read_bytes() == (made / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["avalan"], 2, "There is no recipe 'avalan'"),
        (["avalon", "--n", "0"], 2, "size.num = 0"),
        (["avalon", "--mix", "selfrag"], 2, "cannot be read"),
        (["avalon", "--mix", "selfrog=1"], 2, "did you mean 'mix.selfrag'"),
        (["avalon", "--shard", "3/2"], 2, "--shard 3/2 is no share"),
        (["avalon", "--shard", "half"], 2, "is no share"),
        (["avalon", "--textbook", "nowhere", "--out", "x"], 1, "cannot be read"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: CAPFD,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synthesize", *words]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(recipe: str, capfd: CAPFD) -> None:
    assert main(["data", "synthesize", recipe, "--out", "/proc/no"]) == 1
    assert capfd.readouterr().err.count("\n") == 1


# --- inspect ------------------------------------------------------------------------------------


def test_a_pipe_gets_a_line_for_each_piece(made: Path, capfd: CAPFD) -> None:
    capfd.readouterr()
    assert main(["data", "inspect", str(made), "--num", "1", "--kind", "sums"]) == 0
    name, *pieces = capfd.readouterr().out.splitlines()
    assert name.startswith("small-")
    kinds = [line.split("\t")[:2] for line in pieces]
    assert kinds == [["prompt", "0"], ["text", "1"], ["eos", "1"]]
    assert "The answer is" in pieces[1]


def test_the_document_says_what_counts(made: Path, capfd: CAPFD) -> None:
    capfd.readouterr()
    assert main(["data", "inspect", str(made), "--num", "20", "--kind", "simple", "--json"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {"id", "split", "source", "pieces"} == set(records[0])
    by_id = {record.id: record for record in shards.records(made, "train")}
    for told in records:
        record = by_id[told["id"]]
        texts = [piece for piece in told["pieces"] if piece["kind"] == "text"]
        # A wrong answer teaches its judgement and not its words.
        assert all(piece["weight"] == record.loss.text for piece in texts)
        assert all(
            piece["weight"] == 0
            for piece in told["pieces"]
            if piece["kind"] in ("prompt", "passage", "markup")
        )
        assert all(piece["num_tokens"] > 0 for piece in told["pieces"])


def test_a_recipe_says_what_counts(made: Path, capfd: CAPFD) -> None:
    capfd.readouterr()
    words = ["--num", "20", "--kind", "simple", "--recipe", "avalon-better", "--set"]
    assert main(["data", "inspect", str(made), *words, "loss.reflection=5"]) == 0
    lines = [line.split("\t") for line in capfd.readouterr().out.splitlines()]
    assert {line[1] for line in lines if line[0] == "reflection"} == {"5"}


def test_a_tokenizer_of_the_cards_seven_tokens_will_do(
    made: Path, tmp_path: Path, capfd: CAPFD
) -> None:
    pico_tokenizer(tmp_path, special_tokens=AVALON)
    capfd.readouterr()
    words = ["--num", "3", "--kind", "simple", "--model", str(tmp_path)]
    assert main(["data", "inspect", str(made), *words]) == 0
    assert "reflection\t1\t" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--num", "0"], 2, "--num is 0"),
        (["--set", "loss.eos=2"], 2, "--set changes a recipe; name one"),
        (["--recipe", "reader"], 2, "'reader' trains no language model"),
        (["--recipe", "avalon", "--set", "loss.reflexion=2"], 2, "reflection"),
        (["--kind", "letters"], 2, "no records of kind 'letters'"),
        (["--model", "nowhere"], 1, "nowhere"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(
    made: Path, words: list[str], code: int, sentence: str, capfd: CAPFD
) -> None:
    capfd.readouterr()
    assert main(["data", "inspect", str(made), *words]) == code
    err = capfd.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_an_empty_split_is_one_sentence(tmp_path: Path, capfd: CAPFD) -> None:
    (tmp_path / "small.toml").write_text(SMALL.replace("validation = 0.1", "validation = 0"))
    folder = str(tmp_path / "set")
    assert main(["data", "synthesize", str(tmp_path / "small.toml"), "--out", folder]) == 0
    assert main(["data", "inspect", folder, "--split", "validation"]) == 2
    assert "has no records in validation; choose another" in capfd.readouterr().err


def test_a_folder_without_data_is_one_sentence(tmp_path: Path, capfd: CAPFD) -> None:
    assert main(["data", "inspect", str(tmp_path)]) == 1
    assert "no finished data set" in capfd.readouterr().err


def test_the_recipe_of_the_card_is_the_cards() -> None:
    recipe = load_recipe("avalon")
    assert recipe.size.num == 201_000
    assert dict(recipe.mix) == {"selfrag": 0.8, "general": 0.2}
