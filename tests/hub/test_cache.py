"""What the cache holds is told truly, and only what was named is deleted."""

import errno
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ModelError, StateError
from avalan.hub import cache
from avalan.hub.cache import CachedFile, CachedModel, CachedRevision, plan_deletion
from avalan.hub.layout import looks_root, names_on_disk

OLD, NEW = "10e842" + "a" * 34, "4b420d" + "b" * 34


class Cache:
    """A cache in the hub's layout, written by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, name: str, commit: str, files: dict[str, bytes], *refs: str) -> Path:
        """Files whose contents are blobs; the blob's name stands for its content."""
        folder = self.root / ("models--" + name.replace("/", "--"))
        for path, content in files.items():
            blob = folder / "blobs" / f"{hash(content) & 0xFFFFFFFF:040x}"
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(content)
            link = folder / "snapshots" / commit / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path("../" * (2 + path.count("/"))) / "blobs" / blob.name)
        for ref in refs:
            (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
            (folder / "refs" / ref).write_text(commit)
        return folder


@pytest.fixture
def held(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "hub")
    made.add("org/two", OLD, {"config.json": b"same", "w.safetensors": b"o" * 500}, "v1")
    made.add("org/two", NEW, {"config.json": b"same", "w.safetensors": b"n" * 700}, "main")
    made.add("org/small", NEW, {"config.json": b"tiny"}, "main")
    return made


def test_models_are_listed_with_the_largest_first(held: Cache) -> None:
    listing = cache.scan(held.root)
    assert [(model.name, model.size_bytes) for model in listing.models] == [
        ("org/two", 1204),
        ("org/small", 4),
    ]
    assert listing.size_bytes == 1208


def test_a_file_that_revisions_share_is_counted_once(held: Cache) -> None:
    model = cache.find("org/two", held.root)
    assert {each.commit: each.size_bytes for each in model.revisions} == {OLD: 504, NEW: 704}
    assert (model.size_bytes, model.num_files) == (1204, 3)
    assert {each.refs for each in model.revisions} == {("main",), ("v1",)}


def test_without_a_cache_there_are_no_models(tmp_path: Path) -> None:
    assert cache.scan(tmp_path / "absent").models == ()
    (tmp_path / "file").write_text("")
    assert cache.scan(tmp_path / "file").models == ()


def test_an_unfinished_download_is_listed_and_can_be_deleted(held: Cache) -> None:
    blobs = held.root / "models--org--half" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "abc.incomplete").write_bytes(b"x" * 3000)
    (held.root / "models--org--two" / "blobs" / "def.incomplete").write_bytes(b"x" * 100)

    listing = cache.scan(held.root)

    assert [(each.name, each.size_bytes, each.partial_bytes) for each in listing.models[:2]] == [
        ("org/half", 3000, 3000),
        ("org/two", 1304, 100),
    ]
    assert names_on_disk(held.root) == ["org/two"]  # The others have no weights.
    cache.delete(plan_deletion(listing.models[0]))
    assert not blobs.parent.exists()


def test_datasets_are_no_models(held: Cache) -> None:
    shutil.copytree(
        held.root / "models--org--small", held.root / "datasets--org--data", symlinks=True
    )
    listing = cache.scan(held.root)
    assert [each.name for each in listing.models] == ["org/two", "org/small"]
    assert (listing.num_others, listing.other_bytes) == (1, 4)


@pytest.mark.parametrize("wanted", ["10e842", "10e8", "10E842", OLD, "v1"])
def test_only_the_named_revision_is_deleted(held: Cache, wanted: str) -> None:
    deletion = plan_deletion(cache.find("org/two", held.root), [wanted])
    assert deletion.freed_bytes == 500

    cache.delete(deletion)

    model = cache.find("org/two", held.root)
    assert [each.commit for each in model.revisions] == [NEW]
    assert model.size_bytes == 704
    snapshot = model.folder / "snapshots" / NEW
    assert (snapshot / "config.json").read_bytes() == b"same"
    assert not (model.folder / "refs" / "v1").exists()
    assert (model.folder / "refs" / "main").read_text() == NEW


def test_a_copy_of_the_repository_under_another_name_is_untouched(held: Cache) -> None:
    """A repository that was copied on the hub has the same commits."""
    for number in range(8):
        held.add(f"org/copy{number}", OLD, {"config.json": b"same"}, "main")
    cache.delete(plan_deletion(cache.find("org/two", held.root), ["10e842"]))
    assert [each.commit for each in cache.find("org/two", held.root).revisions] == [NEW]
    for number in range(8):
        assert cache.find(f"org/copy{number}", held.root).revisions


def test_all_revisions_by_name_are_the_whole_model(held: Cache) -> None:
    deletion = plan_deletion(cache.find("org/two", held.root), ["10e842", "4b420d"])
    assert (deletion.kept, deletion.freed_bytes) == ((), 1204)
    cache.delete(deletion)
    assert [each.name for each in cache.scan(held.root).models] == ["org/small"]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("ffffff", "has no revision 'ffffff' in the cache; those that it holds are: "),
        ("10e", "is named by at least 4 digits of a commit, not by '10e'"),
        ("", "is named by at least 4 digits of a commit, not by ''"),
        ("../..", "has no revision"),
    ],
)
def test_an_unknown_revision_is_refused_and_nothing_is_planned(
    held: Cache, wanted: str, sentence: str
) -> None:
    with pytest.raises(ModelError) as caught:
        plan_deletion(cache.find("org/two", held.root), ["10e842", wanted])
    assert sentence in str(caught.value)
    assert "4b420db (main)" in str(caught.value)


def test_a_short_commit_that_fits_several_is_refused(held: Cache) -> None:
    held.add("org/two", "10e842" + "c" * 34, {"config.json": b"same"})
    with pytest.raises(ModelError, match="several revisions that begin with '10e842'"):
        plan_deletion(cache.find("org/two", held.root), ["10e842"])


def test_an_unknown_model_is_refused_with_the_name_that_is_near(held: Cache) -> None:
    with pytest.raises(ModelError, match="did you mean 'org/two'"):
        cache.find("Org/Two", held.root)
    with pytest.raises(ModelError, match="`avalan cache list` shows"):
        cache.find("org/none", held.root)


def test_a_disk_that_cannot_be_written_is_named_by_the_folder(
    held: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, **_options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "37b783b85590")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StateError, match=r"refused '.*/models--org--two' "):
        cache.delete(plan_deletion(cache.find("org/two", held.root)))


@given(st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=5), st.data())
def test_what_is_freed_and_what_stays_is_all_there_was(
    contents: list[set[str]], data: st.DataObject
) -> None:
    sizes = {blob: number + 1 for number, blob in enumerate("abcdef")}
    revisions = tuple(
        CachedRevision(
            commit=f"{number:040x}",
            refs=(),
            size_bytes=sum(sizes[blob] for blob in blobs),
            files=tuple(CachedFile(path=blob, size_bytes=sizes[blob], blob=blob) for blob in blobs),
            modified=0.0,
        )
        for number, blobs in enumerate(contents)
    )
    total = sum(sizes[blob] for blob in set().union(*contents))
    model = CachedModel(
        name="x",
        folder=Path("x"),
        size_bytes=total,
        partial_bytes=0,
        revisions=revisions,
        used=0.0,
    )
    chosen = data.draw(st.sets(st.sampled_from(range(len(contents))), min_size=1))

    deletion = plan_deletion(model, [revisions[number].commit for number in chosen])

    stays = set().union(*(blobs for number, blobs in enumerate(contents) if number not in chosen))
    assert deletion.freed_bytes == total - sum(sizes[blob] for blob in stays)
    assert {each.commit for each in deletion.revisions} == {f"{n:040x}" for n in chosen}
    assert len(deletion.kept) == len(contents) - len(chosen)


def test_what_a_look_leaves_is_nothing_to_the_hubs_own_tools(tmp_path: Path) -> None:
    (looks_root(tmp_path) / "models--x--y").mkdir(parents=True)
    found = huggingface_hub.scan_cache_dir(tmp_path)
    assert not found.repos
    assert not found.warnings
