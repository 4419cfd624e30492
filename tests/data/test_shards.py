"""A data set on disk: whole, the same bytes whoever drew it, and never half."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from avalan.data import shards
from avalan.data.shards import Share, draw, finish, manifest, open_folder, records
from avalan.data.synthesis import Recipe, Size, load_recipe, makers
from avalan.data.textbook import Inquiry, Page, Prompt, Textbook
from avalan.errors import ConfigurationError

RECIPE = replace(
    load_recipe("avalon"), size=Size(num=330, shard_rows=100, validation=0.1, test=0.1)
)
MAKERS = makers(RECIPE, None)


def made(folder: Path, recipe: Recipe = RECIPE) -> dict[str, str]:
    """The hash of each file of a data set that is made in `folder`."""
    open_folder(recipe, folder)
    draw(recipe, folder, MAKERS)
    finish(recipe, folder, MAKERS)
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    made(folder)
    return folder


def test_there_are_as_many_as_were_asked_for_and_each_once(whole: Path) -> None:
    told = manifest(whole)
    assert told is not None
    found = [
        record for split in ("train", "validation", "test") for record in records(whole, split)
    ]
    assert len(found) == told["num_kept"] == RECIPE.size.num
    assert len({record.id for record in found}) == RECIPE.size.num
    assert told["num_drawn"] == RECIPE.size.num + sum(told["dropped"].values())
    kinds = Counter((r.split, r.source["part"], r.source["kind"]) for r in found)
    assert {(row["split"], row["part"], row["kind"]): row["num"] for row in told["kept"]} == kinds


def test_the_manifest_has_the_hash_of_every_file(whole: Path) -> None:
    told = manifest(whole)
    assert told is not None
    found = hashes(whole)
    assert {name: row["sha256"] for name, row in told["files"].items()} == {
        name: found[name] for name in found if name.endswith(".parquet")
    }
    assert not (whole / shards.BLOCKS).exists()
    assert all(pq.read_metadata(whole / name).num_rows <= 100 for name in told["files"])


def test_the_card_counts_what_is_there(whole: Path) -> None:
    card = (whole / shards.CARD).read_text()
    assert "330 records" in card
    assert "| train | selfrag | reading |" in card


def test_twice_the_same_is_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    assert made(tmp_path / "again") == hashes(whole)


def test_shares_of_several_machines_merge_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    for number in (2, 1, 3):
        folder = tmp_path / f"machine{number}"
        open_folder(RECIPE, folder)
        draw(RECIPE, folder, MAKERS, share=Share(number, 3))
    merged = tmp_path / "merged"
    open_folder(RECIPE, merged)
    drawn_by: list[int] = []
    for number in (1, 2, 3):
        blocks = sorted((tmp_path / f"machine{number}" / shards.BLOCKS).iterdir())
        drawn_by.append(len(blocks))
        for block in blocks:
            block.rename(merged / shards.BLOCKS / block.name)
    assert drawn_by == [2, 1, 1]
    finish(RECIPE, merged, MAKERS)
    assert hashes(merged) == hashes(whole)


def test_after_a_kill_at_any_moment_it_goes_on_to_the_same_bytes(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    script = (
        "import sys; from pathlib import Path; from tests_shards import *; made(Path(sys.argv[1]))"
    )
    (tmp_path / "tests_shards.py").write_text(Path(__file__).read_text())
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    begun = subprocess.Popen([sys.executable, "-c", script, str(folder)], env=environment)
    # The first block is there: it is in the middle of its work.
    deadline = time.monotonic() + 60
    while not list(folder.glob("blocks/0*.parquet")):
        assert begun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    assert manifest(folder) is None
    # What a kill leaves of a file that was being written has a name of its own.
    (folder / ".train-00000.parquet.99").write_bytes(b"half")
    made(folder)
    assert {name: found for name, found in hashes(folder).items() if name[0] != "."} == hashes(
        whole
    )


def test_a_folder_of_another_recipe_is_left_alone(whole: Path, tmp_path: Path) -> None:
    before = hashes(whole)
    with pytest.raises(ConfigurationError, match="data of another recipe"):
        open_folder(replace(RECIPE, size=replace(RECIPE.size, seed=8)), whole)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty"):
        open_folder(RECIPE, tmp_path)
    assert hashes(whole) == before
    open_folder(RECIPE, whole)


def test_a_recipe_that_runs_dry_says_so(tmp_path: Path) -> None:
    prompt = Prompt(
        id="d", prompt="What time is it?", need="retrieve", kind="change", language="en",
        split="train",
    )  # fmt: skip
    page = Page(id="p", title="Tea", register="note", split="train", text="Tea: two minutes.")
    asked = Inquiry(
        id="q", passage="p", split="train", question="How long?", answers=("two",), kind="number"
    )
    book = Textbook(pages=(page,), inquiries=(asked,), claims=(), prompts=(prompt,))
    poor = Recipe(
        name="poor",
        size=Size(num=300, shard_rows=100, validation=0, test=0),
        mix={"written": 1.0},
        parts={"written": {"textbook": 1.0}},
    )
    open_folder(poor, tmp_path / "poor")
    with pytest.raises(ConfigurationError, match="gives 2 different records and hardly more"):
        finish(poor, tmp_path / "poor", makers(poor, book))
    assert manifest(tmp_path / "poor") is None


def test_what_is_not_finished_cannot_be_read(tmp_path: Path) -> None:
    open_folder(RECIPE, tmp_path / "begun")
    with pytest.raises(ConfigurationError, match="no finished data set"):
        list(records(tmp_path / "begun", "train"))


def test_tests_are_kept_out(tmp_path: Path) -> None:
    recipe = replace(RECIPE, size=Size(num=50, shard_rows=50))
    made(tmp_path / "first", recipe)
    question = next(
        record.messages[-1].content
        for record in records(tmp_path / "first", "train")
        if len(record.messages[-1].content.split()) > 8
    )
    (tmp_path / "tests.jsonl").write_text(json.dumps({"question": question}))
    open_folder(recipe, tmp_path / "second")
    told = finish(recipe, tmp_path / "second", MAKERS, [tmp_path / "tests.jsonl"])
    assert told["dropped"]["tested"] >= 1
    assert question not in {
        record.messages[-1].content
        for split in ("train", "validation", "test")
        for record in records(tmp_path / "second", split)
    }
