"""Write docs/seed-readme.md: what became of each command of the README the project began with."""

import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEED = ROOT / "tests" / "seed"
PAGE = ROOT / "docs" / "seed-readme.md"
BLOCK = re.compile(r"^```(\w+) ([\w-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RESULTS = {
    "runs": "a test runs it as written",
    "parts": "its parts are tested, not yet these words",
    "errata": "cannot run anywhere as written, see below",
    "open": "no test yet",
}
IMPROVEMENTS = (
    "Probabilities are shown while the model writes, not only after its last token.",
    "`cache delete --revision` deletes the named revisions and no other.",
    "`--stop-on-keyword` and `--stop_on_keyword` are the same option, as for every other one.",
    "`HF_ACCESS_TOKEN` and `HF_TOKEN` are both read.",
)
WIDTH = 60
"""Characters of a command that its cell shows."""


def main() -> int:
    """Write the page, or with `--check` say whether it is stale."""
    page = rendered(commands(), results())
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/seed-readme.md is stale; run: python scripts/seed_readme.py", file=sys.stderr)
    return 1


def commands() -> dict[str, str]:
    """Every block by its name, in order."""
    text = (SEED / "commands.md").read_text(encoding="utf-8")
    return {name: block for _, name, block in BLOCK.findall(text)}


def results() -> dict[str, dict[str, str]]:
    """What is known of each block: `result`, and maybe `test` and `note`."""
    return tomllib.loads((SEED / "results.toml").read_text(encoding="utf-8"))


def rendered(blocks: dict[str, str], known: dict[str, dict[str, str]]) -> str:
    """The page, as Markdown."""
    counts = Counter(known[name]["result"] for name in blocks)
    summary = ", ".join(f"{counts[each]} {each}" for each in RESULTS if counts[each])
    rows = [row(block, known[name]) for name, block in blocks.items()]
    errata = [
        f"- `{shortened(block)}`: {known[name]['note']}{tried(known[name])}"
        for name, block in blocks.items()
        if known[name]["result"] == "errata"
    ]
    lines = [
        "# The first README, command by command",
        "",
        "<!-- Written by scripts/seed_readme.py from tests/seed/; a test holds it current. -->",
        "",
        f"{len(blocks)} commands and examples: {summary}. The whole of each is in",
        "[commands.md](../tests/seed/commands.md).",
        "",
        *(f"- **{each}**: {text}" for each, text in RESULTS.items() if counts[each]),
        "",
        "| command | test | result |",
        "|---|---|---|",
        *rows,
        "",
        "## Errata",
        "",
        *errata,
        "",
        "## Improvements",
        "",
        *(f"- {each}" for each in IMPROVEMENTS),
        "",
        "## Not ours to run",
        "",
        "- A tip for Apple silicon links to a script of the first project that raises a limit for",
        "  MLX. MLX is no engine here; `--device mps` computes on such a chip through torch.",
    ]
    return "\n".join(lines) + "\n"


def row(block: str, known: dict[str, str]) -> str:
    """One line of the table."""
    test = known.get("test", "").partition("::")[2]
    result = known["result"]
    if "note" in known and result != "errata":
        result += f" ({known['note']})"
    cell = shortened(block).replace("|", "\\|")
    return f"| `{cell}` | {f'`{test}`' if test else ''} | {result} |"


def shortened(block: str) -> str:
    """A block on one line, from its first telling word."""
    line = " ".join(block.replace("\\\n", " ").split())
    if found := re.search(r"^from .*?import (\w+Model)", line):
        line = found[1]
    elif found := re.search(r"\bavalan .*", line):
        line = found[0]
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def tried(known: dict[str, str]) -> str:
    """Whether a test tries the form that works."""
    return "" if "test" in known else " (no test tries this yet)"


if __name__ == "__main__":
    sys.exit(main())
