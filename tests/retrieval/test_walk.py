"""Walking: which files of a folder are meant."""

from pathlib import Path

import pytest

from avalan.retrieval.events import Skipped
from avalan.retrieval.walk import files


def tree(folder: Path, **contents: str) -> Path:
    """`a__b_txt` is the file a/b.txt."""
    for name, text in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def ignoring(folder: Path, *lines: str, name: str = ".gitignore") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def walked(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files(folder) if isinstance(path, Path)]


def test_files_come_in_order_each_folder_before_those_below(tmp_path: Path) -> None:
    tree(tmp_path, z_txt="", b__y_txt="", b__c__x_txt="", a__w_txt="")
    assert walked(tmp_path) == ["z.txt", "a/w.txt", "b/y.txt", "b/c/x.txt"]


def test_hidden_and_tool_folders_are_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, a_txt="", _hidden_txt="", _git__config_txt="", CVS__x_txt="")
    tree(tmp_path, node_modules__x_txt="")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.txt").touch()
    assert walked(tmp_path) == ["a.txt", "node.modules/x.txt"]


def test_a_hidden_folder_can_be_named_itself(tmp_path: Path) -> None:
    tree(tmp_path, _notes__a_txt="")
    assert walked(tmp_path / ".notes") == ["a.txt"]


def test_ignore_files_are_respected_and_the_nearest_decides(tmp_path: Path) -> None:
    tree(tmp_path, a_log_txt="", build__x_txt="", sub__a_log_txt="", sub__keep_log_txt="", b_txt="")
    ignoring(tmp_path, "*.log.txt", "/build/", "# a comment", "")
    ignoring(tmp_path / "sub", "!keep.log.txt")
    assert walked(tmp_path) == ["b.txt", "sub/keep.log.txt"]


def test_dot_ignore_overrides_gitignore(tmp_path: Path) -> None:
    tree(tmp_path, a_txt="", b_txt="", c_txt="")
    ignoring(tmp_path, "a.txt", "b.txt")
    ignoring(tmp_path, "!a.txt", "c.txt", name=".ignore")
    assert walked(tmp_path) == ["a.txt"]


def test_ignore_files_above_count_as_far_as_the_repository_reaches(tmp_path: Path) -> None:
    tree(tmp_path, repo__docs__a_txt="", repo__docs__draft__b_txt="")
    ignoring(tmp_path / "repo", "draft/")
    ignoring(tmp_path, "*.txt")
    assert walked(tmp_path / "repo" / "docs") == ["a.txt", "draft/b.txt"]

    (tmp_path / "repo" / ".git").mkdir()

    assert walked(tmp_path / "repo" / "docs") == ["a.txt"]
    assert walked(tmp_path / "repo" / "docs" / "draft") == ["b.txt"]


@pytest.mark.parametrize("line", ["!", "\\", "[z-a]", "a\\", "\xff", "[", "/"])
def test_a_line_that_is_no_pattern_is_passed_over(tmp_path: Path, line: str) -> None:
    tree(tmp_path, a_txt="", b_txt="")
    (tmp_path / ".gitignore").write_bytes(f"{line}\nb.txt\n".encode("latin-1"))
    assert "a.txt" in walked(tmp_path)
    assert "b.txt" not in walked(tmp_path)


def test_links_to_folders_are_named_and_loops_end(tmp_path: Path) -> None:
    tree(tmp_path, a__x_txt="")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to("self")

    found = list(files(tmp_path))

    skipped = [each for each in found if isinstance(each, Skipped)]
    assert [Path(each.path).name for each in skipped] == ["loop"]
    assert "link to a folder" in skipped[0].reason
    assert tmp_path / "a" / "x.txt" in found


def test_a_file_comes_once_and_by_its_own_path_rather_than_a_links(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", x_txt="")
    folder = tree(tmp_path / "folder", b__real_txt="", _hidden_txt="")
    (folder / "a.txt").symlink_to("b/real.txt")
    (folder / "b" / "c.txt").symlink_to("../a.txt")  # By way of another link.
    for name in ("d.txt", "e.txt"):
        (folder / name).symlink_to(outside / "x.txt")
    (folder / "f.txt").symlink_to(".hidden.txt")
    (folder / "g.txt").symlink_to("gone.txt")
    (folder / "data.bin").touch()  # Its name tells no type, but that of the link does.
    (folder / "h.md").symlink_to("data.bin")
    assert walked(folder) == ["data.bin", "b/real.txt", "d.txt", "f.txt", "g.txt", "h.md"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    (skipped,) = files(tmp_path / "gone")
    assert skipped == Skipped(
        path=str(tmp_path / "gone"),
        reason="the folder cannot be listed (No such file or directory)",
    )
