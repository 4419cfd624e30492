"""Make the pictures of the token display in docs/images: record the bundled model, draw the end.

Each recording lies beside its pictures, one for light and one for dark pages. With `--keep` the
recordings that exist are drawn again and no model runs.
"""

import argparse
import io
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from avalan.cli import main as avalan
from avalan.cli.display.generation import Picture
from avalan.cli.display.layout import Line
from avalan.cli.display.palette import style
from avalan.cli.display.settings import DEFAULT_TOKENS, DisplaySettings
from avalan.cli.display.signs import Signs
from avalan.model.nlp.recording import read_recording

IMAGES = Path(__file__).parents[1] / "docs" / "images"
LINE_HEIGHT = 24.4
"""Of rich's pictures."""
GREY = (118, 118, 118)
THEMES = {
    "light": TerminalTheme((255, 255, 255), (31, 35, 40), [GREY] * 8, [GREY] * 8),
    "dark": TerminalTheme((13, 17, 23), (230, 237, 243), [GREY] * 8, [GREY] * 8),
}
# The reader's own fonts: a picture in a page may load none. At 21 px blocks fill a line of 24.4.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} PICTURE_HEIGHT" role="img">
<title>PICTURE_TITLE</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: 21px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect fill="PICTURE_BACKGROUND" width="100%" height="100%" rx="8"/>
<g transform="translate({terminal_x}, 12)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture."""

    name: str
    prompt: str
    options: Sequence[str] = ()
    """Of `avalan model run`."""
    width: int = 80
    """Columns."""
    display: DisplaySettings


SHOTS = (
    Shot(
        name="tokens", prompt="Who are you?", display=DisplaySettings(display_tokens=DEFAULT_TOKENS)
    ),
    Shot(
        name="probabilities",
        prompt="Name a fruit.",
        options=("--temperature", "1", "--seed", "1"),
        width=100,
        display=DisplaySettings(display_probabilities=True),
    ),
)


def main(words: Sequence[str] | None = None) -> int:
    """Record what is missing or outdated, and draw everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="draw the recordings that exist")
    parser.add_argument("--folder", type=Path, default=IMAGES)
    args = parser.parse_args(words)
    args.folder.mkdir(parents=True, exist_ok=True)
    for shot in SHOTS:
        path = args.folder / f"{shot.name}.jsonl"
        if not (args.keep and path.is_file()) and (code := record(shot, path)):
            return code
        for theme in THEMES:
            picture = path.with_name(f"{shot.name}-{theme}.svg")
            picture.write_text(svg(shot, path, theme), encoding="utf-8")
            print(f"{picture}: {picture.stat().st_size:,} bytes")
    return 0


def record(shot: Shot, path: Path) -> int:
    """Run the bundled model; its answer goes to the terminal, as a sign of life."""
    path.unlink(missing_ok=True)
    return avalan(["model", "run", "bundled", shot.prompt, *shot.options, "--record", str(path)])


def svg(shot: Shot, path: Path, theme: str) -> str:
    """The last frame of a recording."""
    console = Console(
        record=True, width=shot.width, file=io.StringIO(), color_system="truecolor", no_color=False
    )
    lines = [[(f"$ {command(shot)}", "border")], [], *last_frame(shot, path)]
    for line in lines:
        text = Text.assemble(*((piece, style(names)) for piece, names in line))
        console.print(text, no_wrap=True, overflow="crop")
    # What rich does not fill in itself.
    ours = {
        "PICTURE_HEIGHT": str(round(len(lines) * LINE_HEIGHT + 24)),
        "PICTURE_TITLE": escape(f"avalan answers: {shot.prompt}"),
        "PICTURE_BACKGROUND": THEMES[theme].background_color.hex,
    }
    form = SVG
    for name, value in ours.items():
        form = form.replace(name, value)
    drawn = console.export_svg(theme=THEMES[theme], code_format=form, unique_id=shot.name)
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


def last_frame(shot: Shot, path: Path) -> list[Line]:
    """What stays on the screen."""
    recording = read_recording(path)
    picture = Picture(recording.report, shot.display, Signs())
    frame = picture.frame(recording.steps, os.terminal_size((shot.width, 60)), is_over=True)
    return [*frame.finished, *frame.writing, *frame.below]


def command(shot: Shot) -> str:
    """What one types to see this picture."""
    shows = "--display-probabilities" if shot.display.display_probabilities else "--display-tokens"
    return shlex.join(["avalan", "model", "run", "bundled", shot.prompt, *shot.options, shows])


if __name__ == "__main__":
    sys.exit(main())
