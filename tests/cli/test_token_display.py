"""Boxes, chart, tables and the panel that holds them: pure functions from steps to lines."""

import math
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem

from avalan.cli.console import cell_width
from avalan.cli.display.chart import (
    BAR_ROWS,
    CHART_HEIGHT,
    Candidate,
    arrange,
    candidates,
    chart_lines,
    is_interesting,
    listed,
    percent,
    scale_of,
    table_lines,
)
from avalan.cli.display.figures import figures_text
from avalan.cli.display.generation import Picture, considered
from avalan.cli.display.layout import Line
from avalan.cli.display.palette import COLORS, STYLES, style
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.display.signs import ASCII, Signs
from avalan.cli.display.tokens import Box, box, row_starts, surprise, visible
from avalan.model.entities import GenerationReport, Token, TokenAlternative, TokenKind, Usage
from avalan.model.nlp.steps import Step

DRAW = Signs()
STRANGE = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\n",
        "\t",
        " " * 40,
        "日本語",
        "👩‍👩‍👧",
        "e\u0301",
        "\u0301",
        "\x1b[2J",
        "\u202eabc",
        "x" * 99,
        "❤️",
    ]
)


def step(
    piece: str = "a",
    probability: float = 1.0,
    others: Sequence[float] = (),
    *,
    token_id: int = 7,
    kind: TokenKind = "plain",
    time_s: float = 0.0,
) -> Step:
    """A step whose alternatives have the ids 100, 101 … and include the chosen token."""
    rows = [
        TokenAlternative(token_id=100 + rank, text=f"o{rank}", logprob=math.log(other))
        for rank, other in enumerate(others)
    ]
    own = TokenAlternative(token_id=token_id, text=piece, logprob=math.log(probability))
    token = Token(
        token_id=token_id,
        text=piece,
        logprob=math.log(probability),
        probability=1.0,
        alternatives=tuple(sorted([*rows, own], key=lambda each: -each.logprob)),
        special=kind == "special",
    )
    return Step(token=token, piece=piece, kind=kind, time_s=time_s)


def box_of(shown: Step, draw: Signs = DRAW, *, width: int = 80, current: bool = False) -> Box:
    level, token_id = surprise(shown.probability), shown.token.token_id
    return box(shown.piece, token_id, shown.kind, draw, width=width, level=level, current=current)


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def width_of(line: Line) -> int:
    return cell_width(text_of(line))


# --- what is shown of a token -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (" Paris", "␣Paris"),
        ("a\n\tb", "a↵⇥b"),
        ("        ", "␣×8"),
        ("", "∅"),
        ("\x1b[2J", "␛[2J"),
        ("\u200d", "\\u200d"),
        ("\u0301", "◌\u0301"),
        ("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrs…"),
    ],
)
def test_what_is_invisible_in_a_token_is_shown(piece: str, shown: str) -> None:
    assert text_of(visible(piece, DRAW)) == shown


@given(piece=STRANGE, width=st.integers(8, 60), current=st.booleans())
def test_a_box_is_a_rectangle_no_wider_than_the_width(
    piece: str, width: int, current: bool
) -> None:
    made = box_of(step(piece, 0.3, token_id=151_642), width=width, current=current)
    (size,) = {width_of(line) for line in made}
    assert size <= width


def test_a_box_shows_the_text_above_the_id() -> None:
    lines = [text_of(line) for line in box_of(step(" Paris", token_id=2347))]
    assert lines == ["╭────────╮", "│ ␣Paris │", "╰──2347──╯"]


def test_kinds_and_surprise_are_told_by_shape_alone() -> None:
    shapes = {
        text_of(box_of(step("a", probability, kind=kind), draw)[0])
        for draw in (DRAW, ASCII)
        for kind in ("plain", "special", "added")
        for probability in (1.0, 0.7, 0.3, 0.1)
    }
    assert len(shapes) == 2 * 3 * 4


def test_kinds_are_told_by_colour_too() -> None:
    kinds: list[TokenKind] = ["plain", "special", "added"]
    styles = [box_of(step(kind=kind))[1][0][1] for kind in kinds]
    assert len(set(styles)) == 3


@pytest.mark.parametrize(
    ("probability", "level"),
    [(1.0, 0), (0.8, 0), (0.79, 1), (0.5, 1), (0.49, 2), (0.2, 2), (0.19, 3), (0.0, 3)],
)
def test_surprise_has_four_steps(probability: float, level: int) -> None:
    assert surprise(probability) == level


@given(widths=st.lists(st.integers(3, 30), min_size=1), width=st.integers(30, 80))
def test_a_row_of_boxes_is_full_before_the_next_begins(widths: list[int], width: int) -> None:
    starts = row_starts(widths, width)
    ends = [*starts[1:], len(widths)]
    for start, end in zip(starts, ends, strict=True):
        assert sum(widths[start:end]) <= width
        assert end == len(widths) or sum(widths[start : end + 1]) > width
    assert row_starts(widths[:-1], width) == starts[: len(row_starts(widths[:-1], width))]


def test_ascii_draws_with_ascii() -> None:
    shown = step(" x\n", 0.3, (0.2, 0.1))
    lines = [*box_of(shown, ASCII), *chart_lines(shown, 40, ASCII)]
    lines += table_lines(shown, 40, ASCII)
    assert all(text_of(line).isascii() or "–" in text_of(line) for line in lines)


# --- which tokens are worth a look --------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "others", "interesting"),
    [
        (0.95, (0.04,), False),
        (0.8, (0.09,), False),  # The maximum itself is not below it.
        (0.79, (0.01,), True),
        (0.85, (0.1,), True),  # The minimum itself is reached.
        (0.85, (0.099,), False),
        (0.9, (0.099, 0.001), False),
        (0.01, (), True),
    ],
)
def test_a_token_is_interesting_below_the_maximum_or_beside_a_likely_other(
    probability: float, others: tuple[float, ...], interesting: bool
) -> None:
    assert is_interesting(step("a", probability, others), DisplaySettings()) is interesting


def test_both_limits_of_interest_can_be_set() -> None:
    shown = step("a", 0.85, (0.1,))
    strict = DisplaySettings(display_probabilities_sample_minimum=0.2)
    assert not is_interesting(shown, strict)
    wide = DisplaySettings(
        display_probabilities_maximum=0.9, display_probabilities_sample_minimum=0.2
    )
    assert is_interesting(shown, wide)


# --- the chart and the tables -------------------------------------------------------------------


@given(others=st.lists(st.floats(1e-6, 0.05), max_size=14), own=st.floats(1e-6, 1.0))
def test_the_chart_falls_away_on_both_sides_of_the_chosen_token(
    others: list[float], own: float
) -> None:
    shown = arrange(candidates(step("a", own, sorted(others, reverse=True))))
    middle = next(index for index, each in enumerate(shown) if each.chosen)
    left, right = shown[:middle][::-1], shown[middle + 1 :]
    assert len(left) - len(right) in (0, 1)
    assert len(left) + len(right) == min(len(others), 10)
    for side in (left, right):
        falling = [each.probability for each in side]
        assert falling == sorted(falling, reverse=True)
    assert all(near.probability >= far.probability for near, far in zip(left, right, strict=False))


def test_bars_stand_symmetrically_around_the_middle() -> None:
    lines = [text_of(line) for line in chart_lines(step("a", 0.5, [0.05] * 10), 32, DRAW)]
    assert len(lines) == CHART_HEIGHT
    for line in lines[1 : BAR_ROWS + 1]:
        bars = line.ljust(33)[:32]
        assert bars == bars[::-1]
    assert lines[-1].index("▲") in (15, 16)


def test_a_bars_height_is_its_share_of_the_scale() -> None:
    lines = [text_of(line) for line in chart_lines(step("a", 0.5, (0.25,)), 32, DRAW)]
    assert lines[0].endswith("0–50%")
    chosen, other = 15, 12
    assert [line[chosen] for line in lines[1:6]] == ["█"] * 5
    assert [line[other] for line in lines[1:6]] == [" ", " ", "▄", "█", "█"]


@pytest.mark.parametrize(("most", "scale"), [(0.9, 1.0), (0.5, 0.5), (0.06, 0.1), (1e-9, 0.01)])
def test_the_scale_is_the_smallest_that_holds_all_bars(most: float, scale: float) -> None:
    assert scale_of([Candidate(token_id=1, text="", probability=most)]) == scale


def test_the_tables_list_ids_tokens_and_percentages_and_mark_the_chosen() -> None:
    lines = [text_of(line) for line in table_lines(step(" me", 0.25, (0.5, 0.125)), 60, DRAW)]
    assert lines[0].split() == ["id", "token", "%", "id", "token", "%"]
    assert lines[1].split() == ["100", "o0", "50.0%"]
    assert lines[2].split() == ["▸", "7", "␣me", "25.0%"]
    assert lines[3].split() == ["101", "o1", "12.5%"]


def test_a_chosen_token_below_all_others_takes_the_last_row() -> None:
    found = candidates(step("a", 0.001, [0.05] * 14))
    rows = listed(found, 5)
    assert len(rows) == 5
    assert rows[-1].chosen


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "100.0%"), (0.0, "0.0%"), (0.421, "42.1%"), (1e-9, "<0.1%"), (0.99999, ">99.9%")],
)
def test_only_certainty_reads_as_certain(probability: float, text: str) -> None:
    assert percent(probability) == text


# --- the panel ----------------------------------------------------------------------------------


def panel(
    steps: list[Step],
    width: int,
    height: int,
    *,
    picture: Picture | None = None,
    **settings: object,
) -> list[Line]:
    picture = picture or a_picture(**settings)
    return picture.panel(steps, os.terminal_size((width, height)))


def a_picture(**settings: object) -> Picture:
    report = GenerationReport(usage=Usage(prompt_tokens=9), finish_reason="stop")
    shown = DisplaySettings(**{"display_tokens": 15, **settings})  # type: ignore[arg-type]
    return Picture(report, shown, DRAW)


@given(
    pieces=st.lists(st.tuples(STRANGE, st.floats(0.001, 1.0)), min_size=1, max_size=30),
    width=st.integers(2, 170),
    height=st.integers(3, 60),
    probabilities=st.booleans(),
)
def test_the_panel_fits_any_terminal(
    pieces: list[tuple[str, float]], width: int, height: int, probabilities: bool
) -> None:
    steps = [step(piece, own, (0.2, 0.1)) for piece, own in pieces]
    lines = panel(steps, width, height, display_probabilities=probabilities)
    assert len(lines) <= height - 2
    assert max(map(width_of, lines), default=0) <= width


def test_the_last_n_tokens_are_shown_as_boxes() -> None:
    steps = [step("ab", token_id=500 + index) for index in range(40)]
    lines = panel(steps, 60, 30, display_tokens=12)
    bottoms = [text_of(line) for line in lines if text_of(line).lstrip().startswith("╰")]
    shown = [
        word for line in bottoms for word in line.translate(str.maketrans("╰╯─", "   ")).split()
    ]
    assert shown == [str(500 + index) for index in range(28, 40)]


def test_boxes_keep_their_places_while_more_come() -> None:
    steps = [step("abc"[: 1 + index % 3], token_id=500 + index) for index in range(60)]
    places: dict[str, int] = {}
    picture = a_picture(display_tokens=10)
    for end in range(1, 61):
        lines = panel(steps[:end], 50, 30, picture=picture)
        for line in map(text_of, lines):
            for index in range(500, 500 + end):
                if (column := line.find(str(index))) >= 0:
                    assert places.setdefault(str(index), column) == column


def test_the_chart_is_about_the_last_interesting_token_that_is_shown() -> None:
    def settings(count: int) -> DisplaySettings:
        return DisplaySettings(display_tokens=count, display_probabilities=True)

    steps = [step("x", 0.3), step("sure"), step("y", 0.4), step("sure"), step("sure")]
    assert considered(steps, settings(4)).piece == "y"
    assert considered(steps, settings(2)) is steps[-1]


def test_a_small_terminal_keeps_the_figures_and_the_last_boxes() -> None:
    steps = [step("a", 0.3, (0.2,))]
    lines = panel(steps, 80, 6, display_probabilities=True)
    assert [text_of(line)[:2] for line in lines[:3]] == ["╭─", "│ ", "╰─"]
    assert "output token" in text_of(lines[-1])


# --- the figures --------------------------------------------------------------------------------


FIGURES = GenerationReport(usage=Usage(prompt_tokens=9), finish_reason="interrupted")


def test_the_figures_come_from_the_times_of_the_tokens() -> None:
    steps = [step(time_s=time_s) for time_s in (0.5, 0.6, 0.7, 1.0)]
    text = "9 input tokens · 4 output tokens · ttft 500 ms · ttnt(3) 700 ms · 6.0 t/s"
    assert figures_text(steps, FIGURES, nth=3) == f"{text} · interrupted"
    assert figures_text(steps, FIGURES, nth=3, is_over=False) == text


def test_a_token_that_did_not_come_has_no_time() -> None:
    assert "ttnt" not in figures_text([step()], FIGURES, nth=2)


@given(width=st.integers(10, 100))
def test_figures_are_shortened_rather_than_cut(width: int) -> None:
    steps = [step(time_s=0.1 * index) for index in range(300)]
    text = figures_text(steps, FIGURES, nth=256, width=width)
    assert len(text) <= width
    assert text == "" or "300" in text


# --- colours ------------------------------------------------------------------------------------

SEEN_BY = {
    "everyone": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopes": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopes": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopes": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""Machado et al., 2009, severity 1, on linear RGB."""


def linear(color: str) -> list[float]:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def luminance(rgb: Sequence[float]) -> float:
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


def lab(color: str, eyes: str) -> tuple[float, float, float]:
    red, green, blue = linear(color)
    seen = [max(0.0, a * red + b * green + c * blue) for a, b, c in SEEN_BY[eyes]]
    x = (0.4124 * seen[0] + 0.3576 * seen[1] + 0.1805 * seen[2]) / 0.9505
    z = (0.0193 * seen[0] + 0.1192 * seen[1] + 0.9505 * seen[2]) / 1.089
    roots = [
        v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, luminance(seen), z)
    ]
    return 116 * roots[1] - 16, 500 * (roots[0] - roots[1]), 200 * (roots[1] - roots[2])


@pytest.mark.parametrize("name", COLORS)
def test_colours_are_seen_on_white_and_on_black(name: str) -> None:
    light = luminance(linear(COLORS[name]))
    assert (1 + 0.05) / (light + 0.05) >= 3
    assert (light + 0.05) / 0.05 >= 3


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_the_steps_of_surprise_stay_apart_for_every_eye(eyes: str) -> None:
    names = ("step1", "step2", "step3")
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert math.dist(lab(COLORS[names[one]], eyes), lab(COLORS[names[other]], eyes)) > 30


@pytest.mark.parametrize("name", STYLES)
def test_every_style_is_one_that_rich_knows(name: str) -> None:
    shown = style(name).render("x", color_system=ColorSystem.TRUECOLOR)
    assert (shown == "x") is (not STYLES[name])
    assert "x" in shown


def test_a_sign_that_is_looked_at_is_not_dim() -> None:
    assert style("sign").dim
    for looked in ("bold", "current"):
        assert not style(f"sign {looked}").dim
        assert style(f"sign {looked}").bold
