"""The hub as huggingface_hub and transformers see it."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub import errors as hub_errors
from transformers import AutoTokenizer

from avalan.testing import LocalHub

NAME = "org/model"


WEIGHTS = bytes(range(256)) * 1000  # As the fixture `folder` writes them.


def files_of(folder: str | Path) -> dict[str, bytes]:
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_snapshot_has_the_files_of_the_folder(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    commit = local_hub.add(NAME, folder)

    found = Path(snapshot_download(NAME))

    assert files_of(found) == files_of(folder)
    assert found.name == commit


def test_blobs_are_named_after_their_content(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    """Weights by their SHA-256; small files as git names them, here computed by hand."""
    local_hub.add(NAME, folder)
    config = (folder / "config.json").read_bytes()
    git_id = hashlib.sha1(b"blob %d\0" % len(config) + config).hexdigest()

    snapshot = Path(snapshot_download(NAME))

    assert (snapshot / "config.json").resolve().name == git_id
    assert (snapshot / "model.safetensors").resolve().name == hashlib.sha256(WEIGHTS).hexdigest()


def test_a_file_tells_its_size_and_commit_before_it_is_downloaded(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    commit = local_hub.add(NAME, folder)

    found = get_hf_file_metadata(hf_hub_url(NAME, "model.safetensors"))

    assert (found.size, found.commit_hash) == (256_000, commit)
    assert local_hub.num_bytes("model.safetensors") == 0


@pytest.mark.parametrize("spell", ["v1.0", "refs/pr/1", "short", "full"])
def test_a_revision_is_a_branch_a_tag_or_a_commit(
    local_hub: LocalHub, client: HfApi, folder: Path, tmp_path: Path, spell: str
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.json").write_bytes(b'{"model_type": "old"}')
    local_hub.add(NAME, folder, revisions={"v1.0": old, "refs/pr/1": old})
    commit = {each.name: each.target_commit for each in client.list_repo_refs(NAME).branches}[
        "v1.0"
    ]
    revision = {"short": commit[:7], "full": commit}.get(spell, spell)

    found = hf_hub_download(NAME, "config.json", revision=revision)

    assert Path(found).read_bytes() == b'{"model_type": "old"}'
    assert client.model_info(NAME, revision=revision).sha == commit


def test_a_download_that_is_cut_is_resumed_where_it_stopped(
    local_hub: LocalHub, client: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It keeps what it has received in whole pieces of this size only, 10 MiB unless told.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    local_hub.add(NAME, folder)
    local_hub.break_off("model.safetensors", after_bytes=100_000)

    found = Path(hf_hub_download(NAME, "model.safetensors"))

    assert found.read_bytes() == WEIGHTS
    sent = [(each.status, each.num_bytes) for each in local_hub.requests if each.num_bytes > 1000]
    assert sent == [(200, 100_000), (206, 156_000)]


def test_what_is_in_the_cache_is_not_sent_again(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    snapshot_download(NAME)
    snapshot_download(NAME)
    assert local_hub.num_requests("model.safetensors") == 1


@pytest.mark.parametrize("token", [None, LocalHub.stranger_token])
def test_a_gated_model_shows_itself_but_not_its_files(
    local_hub: LocalHub, client: HfApi, folder: Path, token: str | None
) -> None:
    local_hub.add(NAME, folder, gated=True)

    assert client.model_info(NAME, token=token).gated == "auto"
    with pytest.raises(hub_errors.GatedRepoError):
        snapshot_download(NAME, token=token)
    assert local_hub.num_bytes("config.json") == 0


def test_a_token_opens_the_gate(local_hub: LocalHub, client: HfApi, folder: Path) -> None:
    local_hub.add(NAME, folder, gated=True)
    assert files_of(snapshot_download(NAME, token=local_hub.token)) == files_of(folder)


def test_a_private_model_is_as_if_it_were_not(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder, private=True)
    for name in (NAME, "org/unknown"):
        for token, status in ((None, 401), (local_hub.stranger_token, 404)):
            with pytest.raises(hub_errors.RepositoryNotFoundError) as caught:
                client.model_info(name, token=token)
            assert caught.value.response.status_code == status
    assert list(client.list_models()) == []
    assert client.model_info(NAME, token=local_hub.token).private
    assert [each.id for each in client.list_models(token=local_hub.token)] == [NAME]


def test_what_does_not_exist_is_told_apart(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    commit = local_hub.add(NAME, folder)
    with pytest.raises(hub_errors.RevisionNotFoundError):
        snapshot_download(NAME, revision="v9")
    with pytest.raises(hub_errors.RemoteEntryNotFoundError):
        hf_hub_download(NAME, "absent.json")
    with pytest.raises(hub_errors.RemoteEntryNotFoundError):
        list(client.list_repo_tree(NAME, "absent"))
    # The client remembers that a file does not exist, which it can only with the commit.
    assert list(local_hub.cache_dir.glob(f"*/.no_exist/{commit}/absent.json"))


def test_a_refused_token_is_refused_even_for_what_is_open(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    with pytest.raises(hub_errors.HfHubHTTPError, match="Invalid user token"):
        client.whoami(token="hf_unknown")
    with pytest.raises(hub_errors.HfHubHTTPError) as caught:
        client.model_info(NAME, token="hf_unknown")
    assert caught.value.response.status_code == 401
    assert not isinstance(caught.value, hub_errors.RepositoryNotFoundError)


def test_a_token_says_whose_it_is(local_hub: LocalHub, client: HfApi) -> None:
    assert client.whoami(token=local_hub.token)["name"] == "owner"
    assert client.whoami(token=local_hub.stranger_token)["name"] == "stranger"


def test_the_model_is_described(local_hub: LocalHub, client: HfApi, pico_folder: Path) -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    numbers: dict[str, Any] = {"downloads": 70, "likes": 8, "last_modified": moment}
    local_hub.add(NAME, pico_folder, licence="mit", tags=["tiny"], **numbers)

    found = client.model_info(NAME, files_metadata=True)

    assert (found.author, found.downloads, found.likes) == ("org", 70, 8)
    assert found.last_modified == moment
    assert set(found.tags or ()) == {"tiny", "transformers", "text-generation", "license:mit"}
    assert found.card_data is not None
    assert found.card_data.license == "mit"
    assert found.config == {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    layer = 2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64  # norms, q o, k v, the inner three
    assert found.safetensors is not None
    assert found.safetensors.parameters == {"F32": 384 * 64 + 64 + 2 * layer}
    assert found.safetensors.total == 86_336
    sizes = {each.rfilename: each.size for each in found.siblings or ()}
    assert sizes == {path.name: path.stat().st_size for path in pico_folder.iterdir()}


def test_the_tree_is_listed_by_folder_or_whole(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)

    def listed(*place: str, recursive: bool = False) -> list[str]:
        return [each.path for each in client.list_repo_tree(NAME, *place, recursive=recursive)]

    top = ["config.json", "model.safetensors", "onnx", "original"]
    top += ["pytorch_model.bin", "tokenizer.json"]
    assert listed() == top
    assert listed("onnx") == ["onnx/model.onnx"]
    assert listed(recursive=True) == sorted([*files_of(folder), "onnx", "original"])


def test_the_pointer_of_a_large_file_is_gits(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    """As https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md writes it."""
    local_hub.add(NAME, folder)
    sha256 = hashlib.sha256(b"onnx weights").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 12\n"

    (found,) = client.list_repo_tree(NAME, "onnx")

    assert (found.lfs.sha256, found.lfs.size) == (sha256, 12)
    assert found.lfs.pointer_size == len(pointer)
    whole = f"blob {len(pointer)}\0{pointer}"
    assert found.blob_id == hashlib.sha1(whole.encode()).hexdigest()


def test_the_client_finds_its_download_whole(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    snapshot_download(NAME)
    found = client.verify_repo_checksums(NAME, cache_dir=local_hub.cache_dir)
    assert (found.checked_count, found.mismatches, found.missing_paths) == (6, [], [])


def test_the_client_sees_that_a_file_was_corrupted(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    local_hub.corrupt("model.safetensors")
    snapshot_download(NAME)
    found = client.verify_repo_checksums(NAME, cache_dir=local_hub.cache_dir)
    assert [each["path"] for each in found.mismatches] == ["model.safetensors"]


@pytest.fixture
def shelf(local_hub: LocalHub, folder: Path) -> None:
    def add(name: str, downloads: int, **more: Any) -> None:
        local_hub.add(name, folder, downloads=downloads, **more)

    add("deepseek-ai/DeepSeek-R1", 30)
    add("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", 50, likes=1)
    add("deepseek-ai/deepseek-llm-7b-chat", 40, gated=True)
    add("someone/deepseek-r1-gguf", 20, library_name="gguf")
    add("facebook/detr-resnet-50", 90, likes=7, pipeline_tag="object-detection")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (
            {"search": "deepseek r1"},
            [
                "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
                "deepseek-ai/DeepSeek-R1",
                "someone/deepseek-r1-gguf",
            ],
        ),
        (
            {"search": "deepseek r1", "filter": "transformers", "limit": 2},
            ["deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "deepseek-ai/DeepSeek-R1"],
        ),
        ({"search": "deepseek r1", "limit": 1}, ["deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"]),
        ({"filter": ["transformers", "object-detection"]}, ["facebook/detr-resnet-50"]),
        ({"pipeline_tag": "object-detection"}, ["facebook/detr-resnet-50"]),
        ({"author": "someone"}, ["someone/deepseek-r1-gguf"]),
        ({"gated": True}, ["deepseek-ai/deepseek-llm-7b-chat"]),
        ({"sort": "likes", "limit": 1}, ["facebook/detr-resnet-50"]),
        ({"search": "no such model"}, []),
    ],
)
@pytest.mark.usefixtures("shelf")
def test_models_are_searched(client: HfApi, asked: dict[str, Any], found: list[str]) -> None:
    assert [each.id for each in client.list_models(**asked)] == found


@pytest.mark.usefixtures("shelf")
def test_a_search_tells_all_about_each(client: HfApi, folder: Path) -> None:
    (found,) = client.list_models(search="detr", full=True, fetch_config=True, cardData=True)
    assert [each.rfilename for each in found.siblings or ()] == sorted(files_of(folder))
    assert (found.config or {})["model_type"] == "llama"
    assert found.card_data is not None


def test_transformers_loads_a_tokenizer_by_name(
    local_hub: LocalHub, client: HfApi, pico_folder: Path
) -> None:
    local_hub.add("meta-llama/Meta-Llama-3-8B-Instruct", pico_folder, gated=True)

    tokenizer = AutoTokenizer.from_pretrained(
        "meta-llama/Meta-Llama-3-8B-Instruct", token=local_hub.token
    )

    own = AutoTokenizer.from_pretrained(pico_folder)
    assert tokenizer.encode("The old town") == own.encode("The old town")
    assert local_hub.num_bytes("model.safetensors") == 0
