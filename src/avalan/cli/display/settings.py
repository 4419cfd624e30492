"""What the token display shows, and the options that say so. Light: a help text needs it."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass

from avalan.cli.options import Group, field_help, number, whole_number
from avalan.locale import _

DEFAULT_TOKENS = 15
DEFAULT_PAUSE_MS = 500
LONGEST_PAUSE_MS = 3_600_000
MOST_TOKENS = 10_000
NUM_ALTERNATIVES = 10
"""How many other tokens are shown beside the chosen one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplaySettings:
    """How a generation is shown. The docstrings below are also the command line's help."""

    display_tokens: int | None = None
    """Show the last N tokens as boxes, live [15 where N is left out]."""
    display_pause: int | None = None
    """Halt MS milliseconds at each token, with probabilities at each interesting one [500 where
    MS is left out]."""
    display_probabilities: bool = False
    """Show what else the model could have said."""
    display_probabilities_maximum: float = 0.8
    """A token is interesting below this probability (0 to 1) …"""
    display_probabilities_sample_minimum: float = 0.1
    """… or where another token has at least this one (0 to 1)."""
    display_time_to_n_token: int = 256
    """Tell the time to the Nth token."""
    reasoning: bool = True
    """Show the model's reasoning, apart from its answer."""

    @property
    def num_tokens(self) -> int:
        """Boxes at a time; 0 where the text alone is shown."""
        wanted = self.display_probabilities or self.display_pause is not None
        return self.display_tokens or (DEFAULT_TOKENS if wanted else 0)


def add_display_options(group: Group) -> None:
    """Add an option for each field; one that is not given leaves None."""
    tokens = _within(whole_number, 1, MOST_TOKENS)
    pause = _within(whole_number, 0, LONGEST_PAUSE_MS)
    share = _within(number, 0, 1)
    nth = DisplaySettings().display_time_to_n_token
    count = _within(whole_number, 1, 10**9)
    _add(group, "display_tokens", metavar="N", nargs="?", const=DEFAULT_TOKENS, type=tokens)
    _add(group, "display_pause", metavar="MS", nargs="?", const=DEFAULT_PAUSE_MS, type=pause)
    _add(group, "display_probabilities", action="store_true")
    _add(group, "display_probabilities_maximum", metavar="P", type=share)
    _add(group, "display_probabilities_sample_minimum", metavar="P", type=share)
    _add(group, "display_time_to_n_token", metavar="N", nargs="?", const=nth, type=count)


def _add(group: Group, name: str, **options: object) -> None:
    flag, text = "--" + name.replace("_", "-"), field_help(DisplaySettings, name)
    group.add_argument(flag, default=None, help=text, **options)


def _within(read: Callable[[str], float], least: float, most: float) -> Callable[[str], float]:
    """A reader of numbers that refuses those outside, and `nan`."""

    def checked(text: str) -> float:
        value = read(text)
        if not least <= value <= most:
            bounds = {"least": least, "most": most}
            raise ArgumentTypeError(
                _("{text} is not between {least:,} and {most:,}", text=text, **bounds)
            )
        return value

    return checked


def num_alternatives(display: DisplaySettings, *, recorded: bool) -> int:
    """How many of the most probable tokens an engine is asked for; the chosen one may be among
    them."""
    return NUM_ALTERNATIVES + 1 if recorded or display.num_tokens else 0
