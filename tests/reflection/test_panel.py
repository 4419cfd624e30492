"""Which judge serves which part, with which thresholds."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from avalan.compress.export import export
from avalan.errors import ConfigurationError, ModelError
from avalan.model import bundled
from avalan.model.bundled import find
from avalan.reflection import panel as panels
from avalan.reflection.panel import (
    PARTS,
    REFERENCE,
    Thresholds,
    calibration,
    check_probability,
    open_panel,
)
from avalan.reflection.tokens import ALL
from avalan.retrieval.entities import Passage
from avalan.testing import pico_llama


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pico")
    return str(export(pico_llama(folder / "made", special_tokens=ALL), folder / "onnx").folder)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch, pico: str) -> dict[str, Any]:
    """A calibration table, in which the model that ships is the pico model."""
    table: dict[str, Any] = {
        "default": {part: ["rules"] for part in (*PARTS, REFERENCE)},
        "judges": {},
    }
    monkeypatch.setattr(panels, "calibration", lambda: table)
    return table


def test_the_table_names_a_judge_for_every_part() -> None:
    assert set(calibration()["default"]) == {*PARTS, REFERENCE}
    for ranked in calibration()["default"].values():
        assert ranked[-1] == "rules"
        assert set(ranked) <= {"rules", "bundled", "reader"}


def test_rules_serve_every_part_and_need_no_model(fitted: dict[str, Any]) -> None:
    with open_panel("rules") as panel:
        assert panel.need is panel.memory is panel.reading
        assert (panel.name, panel.need.name) == ("rules", "rules")
        assert panel.thresholds == Thresholds()
    assert open_panel().name == "rules"


def test_a_model_that_is_named_serves_every_part(fitted: dict[str, Any], pico: str) -> None:
    with open_panel(pico) as panel:
        assert panel.need is panel.memory is panel.reading
        assert panel.name == panel.need.name == pico
        assert 0 <= panel.need.need("When?") <= 1
        assert panel.usage().prompt_tokens > 0


def test_the_default_panel_takes_each_part_and_its_numbers_from_the_table(
    fitted: dict[str, Any], pico: str
) -> None:
    fitted["default"] |= {part: [pico, "rules"] for part in ("need", "memory", "support")}
    fitted["judges"] = {
        pico: {
            "need": {"weights": {"log_for": 0.0}, "bias": 1.0, "threshold": 0.3},
            "memory": {"threshold": 0.9},
            "reading": {"threshold": 0.1},
        },
        "rules": {
            "need": {"threshold": 0.2},
            "reading": {
                "weights": {"sentence_coverage": 0.0},
                "bias": -1.0,
                "threshold": 0.7,
            },
            "answer": {"weights": {"search_rank": -2.0}, "bias": 1.0, "threshold": 0.8},
        },
    }
    with open_panel() as panel:
        assert panel.thresholds == Thresholds(need=0.3, memory=0.9, reading=0.7, sure=0.8)
        assert (panel.need.name, panel.reading.name) == (pico, "rules")
        assert panel.trust({"search_rank": 1.0}, 0.5) == pytest.approx(1 / (1 + math.exp(1)))
        # What was fitted for quotations says nothing of sentences.
        assert panel.trust({"support_logit": 1.0}, 0.5) == 0.5
        assert panel.support is panel.need
        assert panel.name == f"{pico}+rules"
        assert panel.need.need("When?") == pytest.approx(1 / (1 + math.exp(-1)))
        reading = panel.reading.read("Dogs?", passage("Dogs stay outside."))
        assert reading.confidence == pytest.approx(1 / (1 + math.exp(1)))


def test_reference_text_has_a_reader_of_its_own(fitted: dict[str, Any], pico: str) -> None:
    fitted["default"] |= {part: [pico, "rules"] for part in PARTS}
    fitted["judges"] = {"rules": {"reading": {"threshold": 0.7}, "answer": {"threshold": 0.8}}}
    prose = [passage("Dogs stay outside. The gate closes at nine in the evening.")]
    manual = [passage('The "close" method, or os.close(), ends it; see __exit__.')]
    with open_panel() as panel:
        assert panel.reads(prose) is panel
        other = panel.reads(manual)
        assert (panel.reading.name, other.reading.name) == (pico, "rules")
        # Whether it is borne out, the same judge says as ever.
        assert other.support is panel.support
        assert (other.thresholds.reading, other.thresholds.sure) == (0.7, 0.8)
    # A model that is named reads everything.
    with open_panel(pico) as panel:
        assert panel.reads(manual) is panel


def passage(text: str) -> Passage:
    return Passage(
        source="/a", start=0, end=len(text), text=text, heading="", lexical=1.0, offsets_in="file"
    )


def test_a_panel_closes_what_it_was_given() -> None:
    class Resource:
        closed = False

        def close(self) -> None:
            self.closed = True

    resource = Resource()
    with open_panel("rules").closes(resource):
        assert not resource.closed
    assert resource.closed


def test_a_model_that_is_not_there_is_an_error(fitted: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_panel(str(tmp_path / "nothing"))


@pytest.mark.parametrize("value", [None, 0.0, 0.5, 1.0])
def test_probabilities_from_zero_to_one_pass(value: float | None) -> None:
    check_probability("--threshold", value)


@pytest.mark.parametrize("value", [7.0, -0.1, 1.01, math.nan, math.inf])
def test_no_other_number_is_a_probability(value: float) -> None:
    with pytest.raises(ConfigurationError, match="a probability lies between 0 and 1"):
        check_probability("--threshold", value)


def test_the_next_best_serves_where_a_judge_cannot_be_opened_and_it_is_said(
    fitted: dict[str, Any], pico: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fitted["default"] |= {
        "need": ["reader", pico, "rules"],
        "span": ["reader", "rules"],
        "memory": [pico, "rules"],
    }
    monkeypatch.setattr(bundled, "find", lambda name: find(name, broken_catalogue(tmp_path)))
    with open_panel() as panel:
        assert (panel.need.name, panel.reading.name) == (pico, "rules")
        (remark,) = panel.remarks
    assert "model.onnx" in remark
    assert f"{'0' * 12}…" in remark
    assert remark.endswith(f"Meanwhile its part is judged by: {pico}, rules.")
    with pytest.raises(ModelError, match="SHA-256"):
        open_panel("reader")


def broken_catalogue(root: Path) -> Path:
    """A catalogue of a reader whose file is another than it should be."""
    (root / "reader").mkdir(exist_ok=True)
    (root / "reader" / "model.onnx").write_bytes(b"no model")
    row = {"folder": "reader", "licence": "x", "card": "c", "files": {"model.onnx": "0" * 64}}
    (root / "catalogue.json").write_text(json.dumps({"reader": row}))
    return root
