"""The local cache as something to serve: what is in it, and what must not get out."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from huggingface_hub import HfApi, snapshot_download

from avalan.hub.cache_catalogue import CacheCatalogue
from avalan.hub.catalogue import Repository
from avalan.hub.server import HubServer
from avalan.testing import LocalHub

NAME = "org/model"
OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    with HubServer(CacheCatalogue(folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def put(cache: Path, name: str = NAME, *, commit: str = NEW, **files: str) -> Path:
    """A snapshot in the cache, without links as on Windows; returns its folder."""
    folder = cache / f"models--{name.replace('/', '--')}" / "snapshots" / commit
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in ({"config_json": "{}"} | files).items():
        (folder / file.replace("_", ".")).write_text(content)
    return folder


def refer(cache: Path, ref: str, commit: str, name: str = NAME) -> None:
    path = cache / f"models--{name.replace('/', '--')}" / "refs" / ref
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(commit)


def find(cache: Path, name: str = NAME) -> Repository:
    found = CacheCatalogue(cache).find(name)
    assert found is not None
    return found


def test_a_served_cache_fills_an_empty_one_with_identical_files(
    local_hub: LocalHub, client: HfApi, folder: Path, tmp_path: Path
) -> None:
    """Two steps: from a hub to one machine's cache, and from there to another machine's."""
    commit = local_hub.add(NAME, folder)
    first, second = tmp_path / "first", tmp_path / "second"
    snapshot_download(NAME, cache_dir=first)
    with serving(first) as url:
        found = Path(snapshot_download(NAME, cache_dir=second, endpoint=url))

    def listed(cache: Path) -> dict[str, bytes]:
        paths = [path for path in sorted(cache.rglob("*")) if path.is_file()]
        return {
            path.relative_to(cache).as_posix(): path.read_bytes()
            for path in paths
            if ".locks" not in path.parts
        }

    assert found.name == commit
    assert listed(first) == listed(second)


def test_names_revisions_and_files_are_those_of_the_cache(tmp_path: Path) -> None:
    put(tmp_path, commit=OLD)
    put(tmp_path, README_md="# card")
    put(tmp_path, "gpt2")
    refer(tmp_path, "main", NEW)
    refer(tmp_path, "refs/pr/1", OLD)

    found = find(tmp_path)

    assert CacheCatalogue(tmp_path).names() == ["gpt2", NAME]
    assert found.refs == {"main": NEW, "refs/pr/1": OLD}
    assert list(found.files(NEW)) == ["README.md", "config.json"]
    assert list(found.files(OLD)) == ["config.json"]


@pytest.mark.parametrize(
    ("revision", "commit"),
    [("main", NEW), (OLD, OLD), ("v1", None), ("0" * 7, None), ("0" * 6, None), ("", None)],
)
def test_a_revision_leads_to_a_commit_or_nowhere(
    tmp_path: Path, revision: str, commit: str | None
) -> None:
    """Seven zeros begin both commits, so they name neither."""
    put(tmp_path, commit=OLD)
    put(tmp_path)
    refer(tmp_path, "main", NEW)
    assert find(tmp_path).commit(revision) == commit


def test_what_is_no_model_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path)
    refer(tmp_path, "main", "not a commit")
    refer(tmp_path, "gone", "f" * 40)
    (tmp_path / "datasets--org--data" / "snapshots" / NEW).mkdir(parents=True)
    (tmp_path / "models--org--empty" / "snapshots" / NEW).mkdir(parents=True)
    (tmp_path / "models--org--none").mkdir()
    (tmp_path / "models--org--model" / "snapshots" / "HEAD").mkdir()
    (tmp_path / ".locks").mkdir()
    (tmp_path / "version.txt").write_text("1")

    assert CacheCatalogue(tmp_path).names() == [NAME]
    assert (find(tmp_path).refs, list(find(tmp_path).snapshots)) == ({}, [NEW])
    assert CacheCatalogue(tmp_path / "absent").names() == []


@pytest.mark.parametrize("name", ["org--model", "org/model/", "../org/model", "org", "", "/"])
def test_a_model_has_one_name(tmp_path: Path, name: str) -> None:
    put(tmp_path)
    assert CacheCatalogue(tmp_path).find(name) is None


def test_a_download_in_progress_is_not_served(tmp_path: Path) -> None:
    """Its link leads to a blob that is not there yet."""
    folder = put(tmp_path)
    (folder / "model.safetensors").symlink_to(Path("../../blobs") / ("a" * 64))
    assert list(find(tmp_path).files(NEW)) == ["config.json"]


def test_a_link_out_of_the_cache_is_not_served(tmp_path: Path) -> None:
    cache, secret = tmp_path / "cache", tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = put(cache)
    (folder / "linked.txt").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    assert list(find(cache).files(NEW)) == ["config.json"]


def test_a_linked_cache_is_served_as_any_other(tmp_path: Path) -> None:
    put(tmp_path / "real")
    (tmp_path / "cache").symlink_to(tmp_path / "real")
    assert list(find(tmp_path / "cache").files(NEW)) == ["config.json"]


GATED = "---\nlicense: llama3\nextra_gated_prompt: Do you agree?\n---\n# A model"


def test_a_model_whose_card_is_gated_is_left_out_unless_wanted(tmp_path: Path) -> None:
    put(tmp_path, "meta-llama/gated", README_md=GATED)
    put(tmp_path)
    careful, generous = CacheCatalogue(tmp_path), CacheCatalogue(tmp_path, gated=True)

    assert (careful.names(), careful.left_out()) == ([NAME], ["meta-llama/gated"])
    assert careful.find("meta-llama/gated") is None
    assert (generous.names(), generous.left_out()) == (["meta-llama/gated", NAME], [])
    told = generous.find("meta-llama/gated")
    assert told is not None
    assert told.gated


def test_the_newest_card_decides(tmp_path: Path) -> None:
    old, new = put(tmp_path, commit=OLD, README_md=GATED), put(tmp_path)
    os.utime(old, (1, 1))
    assert CacheCatalogue(tmp_path).find(NAME) is None
    (new / "README.md").write_text("# Open to all since")
    assert CacheCatalogue(tmp_path).find(NAME) is not None


def test_only_the_wanted_models_are_served(tmp_path: Path) -> None:
    put(tmp_path)
    put(tmp_path, "gpt2")
    catalogue = CacheCatalogue(tmp_path, only=["gpt2"])
    assert catalogue.names() == ["gpt2"]
    assert catalogue.find(NAME) is None


def test_the_card_tells_licence_task_and_tags(tmp_path: Path) -> None:
    card = "---\nlicense: mit\npipeline_tag: text-generation\ntags: [tiny, 5]\n---\n"
    put(tmp_path, README_md=card)
    found = find(tmp_path)
    assert (found.licence, found.pipeline_tag) == ("mit", "text-generation")
    assert found.all_tags == ["tiny", "text-generation", "license:mit"]


def test_what_the_card_does_not_tell_is_told_by_the_files(tmp_path: Path) -> None:
    folder = put(tmp_path)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").touch()
    assert find(tmp_path).all_tags == ["safetensors", "transformers", "text-generation"]


@pytest.mark.parametrize("card", ["", "# none", "---\n: [\n---\n", "---\n- a\n---\n", "---\na: &a"])
def test_a_card_that_cannot_be_read_says_nothing(tmp_path: Path, card: str) -> None:
    put(tmp_path, README_md=card)
    assert (find(tmp_path).tags, find(tmp_path).licence) == ((), None)


def test_a_model_that_arrives_while_it_serves_is_there(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        assert urlopen(f"{url}/api/models", timeout=10).read() == b"[]"
        put(tmp_path, "gpt2")
        assert b'"id": "gpt2"' in urlopen(f"{url}/api/models", timeout=10).read()
