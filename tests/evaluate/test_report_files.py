"""Reports as files: tables that can be read, pictures that are pictures."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from avalan.errors import StateError
from avalan.evaluate.plots import bins
from avalan.evaluate.report import Report
from avalan.evaluate.report_files import markdown, write
from avalan.evaluate.tasks import Plan, run


def reported(stage: Any, task: str) -> Report:
    judge = stage.judge(stage.everything, need=lambda text: 0.9 if "news" in text else 0.3)
    panels = {
        name: partial(stage.panel, judge if name != "rules" else stage.judge(name="rules"))
        for name in ("a|b", "rules")
    }
    return run(Plan(task=task, levels=("G1",), num=12), panels)


@pytest.mark.parametrize(
    ("task", "picture"),
    [("retrieval-decision", "reliability-G1.png"), ("grounded-qa", "risk-coverage-G1.png")],
)
def test_a_report_is_three_files(stage: Any, tmp_path: Path, task: str, picture: str) -> None:
    report = reported(stage, task)
    paths = write(report, tmp_path / "new" / "report", command="avalan model evaluate …")
    assert [path.name for path in paths] == ["report.md", "report.json", picture]
    text = paths[0].read_text()
    assert text.startswith(f"# {task}\n\n`avalan model evaluate …`\n")
    assert f"]({picture})" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "|  | a\\|b | rules |"
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert json.loads(paths[1].read_text())["task"] == task
    with Image.open(paths[2]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 500
        # It is no empty sheet.
        assert len(image.convert("L").getcolors(256) or ()) > 16


def test_what_was_measured_on_is_named(stage: Any) -> None:
    report = replace(reported(stage, "grounded-qa"), data={"a.jsonl": "0" * 64})
    assert f"* `a.jsonl` {'0' * 64}" in markdown(report, command="x", pictures=[])


def test_a_folder_that_cannot_be_made_is_named(stage: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="--report DIR"):
        write(reported(stage, "grounded-qa"), tmp_path / "file", command="x")


def test_the_bins_hold_equally_many_in_order() -> None:
    labels = [i >= 20 for i in range(30)]
    found = bins(labels, [i / 30 for i in range(30)])
    assert [count for _said, _share, count in found] == [2] * 15
    assert found[0] == (pytest.approx(0.5 / 30), 0.0, 2)
    assert found[-1] == (pytest.approx(28.5 / 30), 1.0, 2)
    assert bins([], []) == []
