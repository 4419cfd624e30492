"""`avalan cache list`, `download` and `delete`."""

import gettext
import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from avalan import locale
from avalan.cli import main
from avalan.cli.commands.cache_delete import _is_agreed
from avalan.cli.console import Console, cell_width
from avalan.cli.display.download import Progress, finished_line, progress_lines
from avalan.cli.display.readiness import rows
from avalan.cli.display.signs import ASCII, Signs
from avalan.cli.display.units import age
from avalan.hub import cache, headers
from avalan.hub.events import (
    FileAdvanced,
    FileBroken,
    FileFinished,
    FileStarted,
    Finished,
    Started,
    Waiting,
)
from avalan.hub.layout import place_of
from avalan.hub.preflight import Needs, Preflight
from avalan.testing import LocalHub

CAPFD = pytest.CaptureFixture[str]
NAME = "Qwen/Qwen2.5-7B-Instruct"
SCRIPT = str(Path(sys.executable).with_name("avalan"))


@pytest.fixture
def model(tmp_path: Path, pico_folder: Path) -> Path:
    """The files of a small model, to change."""
    folder = tmp_path / "model"
    shutil.copytree(pico_folder, folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Pico\n")
    return folder


@pytest.fixture
def two_revisions(hub: LocalHub, model: Path, tmp_path: Path, capfd: CAPFD) -> list[str]:
    """In the cache: `main` and `v1`, which differ in one file; their commits."""
    old = tmp_path / "old"
    shutil.copytree(model, old)
    (old / "README.md").write_text("# The first one\n")
    hub.add(NAME, model, revisions={"v1": old})
    assert main(["cache", "download", "--model", NAME]) == 0
    assert main(["cache", "download", "--model", NAME, "--revision", "v1"]) == 0
    capfd.readouterr()
    held = {each.refs: each.commit for each in cache.find(NAME, hub.cache_dir).revisions}
    return [held["main",], held["v1",]]


def typed(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """A person at the terminal answers so."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))


def commits(hub: LocalHub) -> list[str]:
    return [each.commit for each in cache.find(NAME, hub.cache_dir).revisions]


# --- download ------------------------------------------------------------------------------------


def test_a_download_says_what_it_needs_before_and_where_it_is_after(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    commit = hub.add(NAME, model)

    assert main(["cache", "download", "--model", NAME]) == 0

    out, err = capfd.readouterr()
    folder = place_of(NAME, hub.cache_dir).snapshot(commit)
    assert out == f"Downloaded {NAME} (362 kB), which is in {folder}.\n"
    head, disk, memory, speed, *files = err.splitlines()
    assert head.startswith(f"{NAME}  362 kB in 6 files · 86.3k parameters · apache-2.0 · main at ")
    assert disk.startswith("  Disk    fits: 361 kB to download, ")
    assert memory.startswith("  Memory  fits: about 448 kB with 256 tokens of context, ")
    assert speed.startswith("  Speed   about ")
    assert "model.safetensors  347 kB" in files
    assert len(files) == 5  # The configuration was there already: the estimate is made from it.


def test_the_estimate_shows_a_sum_that_adds_up() -> None:
    needs = Needs(
        engine="transformers",
        weight_bytes=1_500_000_000,
        kv_cache_bytes=0,
        context=1,
        read_bytes=1_500_000_000,
        num_layers=28,
    )
    at_10_gb = Preflight(
        download_bytes=1,
        free_disk_bytes=None,
        needs=needs,
        free_memory_bytes=None,
        bandwidth=10e9,
    )
    start = "about 6.0 tokens/s, estimated: 150 ms for each to read 1.5 GB at the measured 10 GB/s"
    assert dict(rows(at_10_gb))["Speed"] == f"{start}, and 17 ms for 28 layers"
    unknown = replace(at_10_gb, needs=replace(needs, num_layers=0))
    assert dict(rows(unknown))["Speed"] == start.replace("6.0", "6.7")


def test_a_download_as_json_is_one_document(hub: LocalHub, model: Path, capfd: CAPFD) -> None:
    commit = hub.add(NAME, model)
    assert main(["cache", "download", "--model", NAME, "--json"]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert (found["commit"], found["revision"], err) == (commit, "main", "")
    assert found["preflight"]["fits_disk"] is True
    assert found["size_bytes"] == sum(each["size_bytes"] for each in found["files"])
    assert main(["cache", "download", "--model", NAME, "--json"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert (again["downloaded_bytes"], again["preflight"]) == (0, None)


def test_a_quiet_download_prints_the_folder_alone(hub: LocalHub, model: Path, capfd: CAPFD) -> None:
    hub.add(NAME, model)
    assert main(["cache", "download", "--model", NAME, "--quiet"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert headers.read_headers(Path(out.strip()))


def test_a_second_download_has_nothing_to_do(hub: LocalHub, model: Path, capfd: CAPFD) -> None:
    hub.add(NAME, model)
    main(["cache", "download", "--model", NAME])
    before = hub.num_requests("model.safetensors")
    capfd.readouterr()
    assert main(["cache", "download", "--model", NAME]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"Nothing is missing of {NAME} (362 kB)")
    assert err == ""
    assert hub.num_requests("model.safetensors") == before


def test_pickled_weights_are_fetched_with_a_warning(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    hub.add(NAME, model)
    assert main(["cache", "download", "--model", NAME]) == 0
    assert "only pickled weights, which can run any code" in capfd.readouterr().err
    assert hub.num_requests("pytorch_model.bin") == 1


def test_pickled_weights_beside_others_are_left_out(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    shutil.copy(model / "model.safetensors", model / "pytorch_model.bin")
    hub.add(NAME, model)
    assert main(["cache", "download", "--model", NAME]) == 0
    assert "pickled" not in capfd.readouterr().err
    assert hub.num_requests("pytorch_model.bin") == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "needed: --model"),
        (["--model", "org/none"], 1, "There is no model 'org/none' on the hub"),
        (["--model", "bundled"], 1, "The model 'bundled' ships with avalan"),
        (["--model", "./here"], 1, "'./here' is a folder, and only models of the hub"),
        (["--model", "a b"], 1, "There is no model 'a b' on the hub"),
        (["--model", NAME, "--revision", "v9"], 1, "has no revision 'v9'"),
        (["--model", "org/gated"], 1, "is gated; accept its licence on "),
    ],
)
def test_what_cannot_be_downloaded_is_one_sentence(
    hub: LocalHub,
    model: Path,
    capfd: CAPFD,
    words: list[str],
    code: int,
    sentence: str,
) -> None:
    hub.add(NAME, model)
    hub.add("org/gated", model, gated=True)
    assert main(["cache", "download", "--quiet", *words]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


def test_weights_that_are_broken_on_the_hub_are_said_to_be(
    hub: LocalHub, model: Path, tmp_path: Path, capfd: CAPFD
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "model.safetensors").write_bytes(b"\xff" * 100)
    hub.add("org/broken", broken)
    assert main(["cache", "download", "--model", "org/broken"]) == 0
    assert "are broken on the hub itself" in capfd.readouterr().err
    assert main(["model", "install", "org/broken"]) == 1
    assert "are broken on the hub itself" in capfd.readouterr().err


# --- list ----------------------------------------------------------------------------------------


def test_an_empty_cache_is_no_error(hub: LocalHub, capfd: CAPFD) -> None:
    assert main(["cache", "list"]) == 0
    assert capfd.readouterr().out == f"There are no models in {hub.cache_dir}.\n"
    assert main(["cache", "list", "--json"]) == 0
    assert capfd.readouterr().out == "[]\n"


def test_the_list_has_the_largest_first_and_a_total(
    hub: LocalHub, two_revisions: list[str], tmp_path: Path, capfd: CAPFD
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (small / "config.json").write_text('{"model_type": "x"}')
    hub.add("a/small", small)
    assert main(["cache", "download", "--model", "a/small", "--quiet"]) == 0
    capfd.readouterr()

    assert main(["cache", "list"]) == 0

    head, first, second, blank, total = capfd.readouterr().out.splitlines()
    assert head.split() == ["model", "size", "revisions", "files", "last", "used"]
    assert first.split() == [NAME, "362", "kB", "2", "7", "today"]
    assert second.split() == ["a/small", "19", "B", "1", "1", "no", "weights"]
    assert (blank, total) == ("", f"2 models, 362 kB in {hub.cache_dir}")


def test_quietly_the_names_alone_are_listed(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD
) -> None:
    assert main(["cache", "list", "--quiet"]) == 0
    assert capfd.readouterr().out == f"{NAME}\n"


def test_a_summary_is_the_total_alone(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD
) -> None:
    assert main(["cache", "list", "--summary"]) == 0
    assert capfd.readouterr().out == f"1 model, 362 kB in {hub.cache_dir}\n"


def test_one_model_shows_its_revisions_their_files_and_what_they_share(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD
) -> None:
    assert main(["cache", "list", "--model", NAME]) == 0
    lines = capfd.readouterr().out.splitlines()
    for commit, name in zip(two_revisions, ("main", "v1"), strict=True):
        assert f"  {commit[:7]} ({name})  6 files, 362 kB, downloaded today" in lines
    rows = [line.split() for line in lines]
    assert rows.count(["model.safetensors", "347", "kB", "shared"]) == 2
    assert sum(row[:1] == ["README.md"] and row[-1] != "shared" for row in rows) == 2

    assert main(["cache", "list", "--model", NAME, "--summary"]) == 0
    assert "safetensors" not in capfd.readouterr().out


def test_the_list_as_json_has_documented_keys(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD
) -> None:
    assert main(["cache", "list", "--json"]) == 0
    (found,) = json.loads(capfd.readouterr().out)
    assert set(found) == {"name", "folder", "size_bytes", "partial_bytes", "used", "revisions"}
    revision = found["revisions"][0]
    assert set(revision) == {"commit", "refs", "size_bytes", "modified", "files"}
    assert set(revision["files"][0]) == {"name", "size_bytes", "blob"}
    assert revision["files"][0]["name"] == "model.safetensors"


def test_an_unfinished_download_is_told_with_the_command_that_goes_on(
    hub: LocalHub, capfd: CAPFD
) -> None:
    blobs = place_of("org/half", hub.cache_dir).blobs
    blobs.mkdir(parents=True)
    (blobs / "abc.incomplete").write_bytes(b"x" * 3000)
    assert main(["cache", "list"]) == 0
    out = capfd.readouterr().out
    assert out.splitlines()[1].split() == ["org/half", "3", "kB", "0", "0", "unfinished"]
    assert "3 kB of unfinished downloads, which go on with:\n  avalan cache download --m" in out


def test_an_unknown_model_is_one_sentence(hub: LocalHub, capfd: CAPFD) -> None:
    assert main(["cache", "list", "--model", "org/none"]) == 1
    assert "holds no model 'org/none'; `avalan cache list` shows" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (-3, "today"),
        (0.9, "today"),
        (1, "yesterday"),
        (2, "2 days ago"),
        (13, "13 days ago"),
        (14, "2 weeks ago"),
        (60, "2 months ago"),
        (800, "2 years ago"),
    ],
)
def test_age_is_told_in_round_words(days: float, text: str) -> None:
    assert age(days * 86400) == text


# --- delete --------------------------------------------------------------------------------------


def test_only_the_named_revision_is_deleted(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD
) -> None:
    kept, gone = two_revisions
    words = ["cache", "delete", "--model", NAME, "--revision", gone[:6], "--yes"]
    assert main(words) == 0
    assert commits(hub) == [kept]
    assert capfd.readouterr().out == f"Deleted {gone[:7]} of {NAME}; 16 B are free again.\n"


def test_two_revisions_may_be_named(hub: LocalHub, two_revisions: list[str], capfd: CAPFD) -> None:
    names = [word for commit in two_revisions for word in ("--revision", commit[:6])]
    assert main(["cache", "delete", "--model", NAME, *names, "--yes", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert set(found["revisions"]) == set(two_revisions)
    assert (found["deleted"], found["kept"]) == (True, [])
    assert cache.scan(hub.cache_dir).models == ()


@pytest.mark.parametrize("verb", [["cache", "delete", "--model"], ["model", "uninstall"]])
def test_without_a_revision_the_whole_model_goes(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD, verb: list[str]
) -> None:
    assert main([*verb, NAME, "--yes"]) == 0
    assert capfd.readouterr().out == f"Deleted {NAME}; 362 kB are free again.\n"
    assert not place_of(NAME, hub.cache_dir).folder.exists()


@pytest.mark.parametrize(
    ("answer", "deleted"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False), ("x", False)],
)
def test_it_asks_and_takes_only_a_yes(
    hub: LocalHub,
    two_revisions: list[str],
    capfd: CAPFD,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    deleted: bool,
) -> None:
    typed(monkeypatch, answer)
    assert main(["cache", "delete", "--model", NAME, "--revision", "v1"]) == 0
    out, err = capfd.readouterr()
    assert err == (
        f"Of {NAME}, which has 1 more, this would be deleted:\n"
        f"  {two_revisions[1][:7]} (v1)  6 files, 362 kB\n"
        "It would free 16 B.\n"
        "Delete? [y/N] "
    ) + ("" if answer.endswith("\n") else "\n")
    assert out.startswith("Deleted" if deleted else "Nothing was deleted.")
    assert commits(hub) == (two_revisions[:1] if deleted else commits(hub))
    assert len(commits(hub)) == (1 if deleted else 2)


def test_a_yes_is_one_of_the_language_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    spanish = gettext.NullTranslations()
    words = {"y yes": "s sí", "Delete? [y/N]": "¿Eliminar? [s/N]"}
    monkeypatch.setattr(spanish, "gettext", lambda text: words[text])
    monkeypatch.setattr(locale, "_catalogue", spanish)
    for answer, agreed in (("Sí\n", True), ("s\n", True), ("yes\n", False), ("\n", False)):
        typed(monkeypatch, answer)
        assert _is_agreed(Console()) is agreed


@pytest.mark.parametrize("verb", [["cache", "delete", "--model"], ["model", "uninstall"]])
def test_where_nobody_can_be_asked_nothing_is_deleted(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD, verb: list[str]
) -> None:
    assert main([*verb, NAME]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "since the input is no terminal; say so with: --yes" in err
    assert len(commits(hub)) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "org/none"], "holds no model 'org/none'"),
        (["--model", NAME, "--revision", "ffff"], "has no revision 'ffff' in the cache"),
        (["--model", NAME, "--revision", "v1", "--revision", "v2"], "has no revision 'v2'"),
    ],
)
def test_what_is_not_there_cannot_be_deleted(
    hub: LocalHub, two_revisions: list[str], capfd: CAPFD, words: list[str], sentence: str
) -> None:
    assert main(["cache", "delete", "--yes", *words]) == 1
    assert sentence in capfd.readouterr().err
    assert len(commits(hub)) == 2


# --- the progress --------------------------------------------------------------------------------


def advanced(progress: Progress, *moments: tuple[float, int]) -> Progress:
    progress.take(Started(name="m", commit="c", sizes={"a.json": 100, "w": 10_000}), 0.0)
    progress.take(FileStarted(file="w", num_bytes=0), 0.0)
    for now, size in moments:
        progress.take(FileAdvanced(file="w", num_bytes=size), now)
    return progress


def test_speed_is_that_of_the_last_seconds_and_says_what_is_left() -> None:
    progress = advanced(Progress(), (1.0, 8000), (10.0, 8500), (11.0, 9000), (12.0, 9500))
    # From the sample at 1 s, the last one older than the window, to that at 12 s.
    assert progress.bytes_per_s == pytest.approx(1500 / 11)
    assert progress.left_s == pytest.approx((10_100 - 9500) / (1500 / 11))


def test_what_was_here_before_counts_as_done_and_not_as_speed() -> None:
    progress = Progress()
    progress.take(Started(name="m", commit="c", sizes={"w": 10_000}), 0.0)
    progress.take(FileStarted(file="w", num_bytes=9000), 0.0)
    progress.take(FileAdvanced(file="w", num_bytes=9500), 1.0)
    assert progress.done_bytes == 9500
    assert progress.bytes_per_s == pytest.approx(500)


@pytest.mark.parametrize("width", [20, 40, 79, 160])
@pytest.mark.parametrize("draw", [Signs(), ASCII])
def test_no_line_of_the_progress_is_wider_than_the_screen(width: int, draw: Signs) -> None:
    progress = Progress()
    name = "unet/diffusion-model-with-a-long-name-00001-of-00042.safetensors"
    progress.take(Started(name="m", commit="c", sizes={name: 5 * 10**9, "a.json": 0}), 0.0)
    progress.take(FileStarted(file=name, num_bytes=0), 0.0)
    progress.take(FileAdvanced(file=name, num_bytes=10**9), 1.0)
    progress.take(FileAdvanced(file=name, num_bytes=2 * 10**9), 2.0)
    lines = progress_lines(progress, width, draw)
    lines.append(finished_line(name, 5 * 10**9, width, draw))
    for line in lines:
        assert cell_width("".join(text for text, _ in line)) <= width


def test_a_line_has_name_bar_share_and_sizes() -> None:
    lines = progress_lines(advanced(Progress(), (1.0, 2500)), 100, ASCII)
    assert ["".join(text for text, _ in line) for line in lines] == [
        "  w       #####---------------  25%  2.5 kB of 10 kB",
        "  in all  #####---------------  25%  2.5 kB of 10.1 kB - 2.5 kB/s, 3.0 s left",
    ]


def test_a_broken_connection_and_a_wait_are_told() -> None:
    progress = advanced(Progress(), (1.0, 2500))
    progress.take(FileBroken(file="w", reason="Connection reset", wait_s=2.0), 2.0)
    last = progress_lines(progress, 80, ASCII)[-1]
    assert "".join(text for text, _ in last) == "  w: Connection reset; again in 2.0 s"
    progress.take(FileAdvanced(file="w", num_bytes=2600), 3.0)
    assert progress.remark == ""
    waiting = Progress()
    waiting.take(Waiting(name="org/m"), 0.0)
    assert "another program downloads org/m" in progress_lines(waiting, 80, ASCII)[0][0][0]


def test_a_file_that_is_done_leaves_the_lines_and_counts_in_full() -> None:
    progress = advanced(Progress(), (1.0, 9999))
    progress.take(FileFinished(file="w"), 2.0)
    progress.take(FileFinished(file="not announced"), 2.0)
    assert (progress.active, progress.finished, progress.done_bytes) == ([], ["w"], 10_000)
    progress.take(Finished(folder=Path("x")), 3.0)
    assert len(progress_lines(progress, 100, ASCII)) == 1


# --- the installed script ------------------------------------------------------------------------


def on_terminal(
    command: list[str], environment: dict[str, str], *, when: str = "[y/N]", keys: str = ""
) -> tuple[int, str]:
    """Exit code, and what a terminal of 80 columns sees; the keys are typed when it says `when`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
            if keys and when.encode() in seen:
                os.write(terminal, keys.encode())
                keys = ""
    else:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, seen.decode()


def test_the_seeds_commands_on_a_terminal(local_hub: LocalHub, model: Path, tmp_path: Path) -> None:
    local_hub.add("google/owlvit-base-patch16", model)
    environment = local_hub.environment() | {"COLUMNS": "80", "TERM": "xterm-256color"}
    name = "google/owlvit-base-patch16"
    _code, download = on_terminal([SCRIPT, "cache", "download", "--model", name], environment)
    assert "in all" in download
    assert "Downloaded google/owlvit-base-patch16 (362 kB)" in download
    assert download.count("\x1b[?25h") >= 1  # The cursor is back.
    (found,) = cache.find(name, local_hub.cache_dir).revisions
    delete = [SCRIPT, "cache", "delete", "--model", name, "--revision", found.commit[:6]]
    assert "Deleted" in on_terminal(delete, environment, keys="y\n")[1]
    assert cache.scan(local_hub.cache_dir).models == ()


@pytest.mark.parametrize(
    "words", [["cache", "download", "--model", NAME], ["model", "run", NAME, "hello"]]
)
def test_ctrl_c_takes_the_bars_away_and_says_what_is_kept(
    local_hub: LocalHub, model: Path, words: list[str]
) -> None:
    local_hub.add(NAME, model)
    local_hub.bytes_per_s = 100_000
    environment = local_hub.environment() | {"COLUMNS": "80", "TERM": "xterm-256color"}
    code, seen = on_terminal([SCRIPT, *words], environment, when="in all", keys="\x03")
    _before, last_frame, after = seen.rpartition("\x1b[?7l")
    assert code == 130
    assert after.startswith("\x1b[2G\x1b[J\r\x1b[K\x1b[?7h"), last_frame  # Nothing is drawn.
    said = " ".join(after.split())
    assert f"The download of {NAME} was stopped; " in said
    assert "kept, and the same command goes on from there." in said


def test_ctrl_c_at_the_token_ends_the_line(local_hub: LocalHub) -> None:
    words = [SCRIPT, "cache", "download", "--model", NAME, "--login"]
    code, seen = on_terminal(words, local_hub.environment(), when="(not shown): ", keys="\x03")
    assert code == 130
    assert seen.partition("(not shown): ")[2].endswith("\n")


def test_in_a_pipe_there_are_lines_and_no_escapes(local_hub: LocalHub, model: Path) -> None:
    local_hub.add(NAME, model)
    done = subprocess.run(
        [SCRIPT, "cache", "download", "--model", NAME],
        env=local_hub.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert done.stdout.startswith(f"Downloaded {NAME}")
