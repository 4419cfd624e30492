"""A bare `avalan`: this machine, what fits, what is on its disk, and what to type next.

No network is tried and no model is loaded.
"""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from avalan import __version__, state
from avalan.cli import disk
from avalan.cli.console import Console
from avalan.cli.disk import FoundModel
from avalan.cli.display.layout import hang
from avalan.cli.display.units import bytes_text, count_text
from avalan.cli.machine import BYTES_PER_WEIGHT, WEIGHT_SHARE, Machine, parameters_that_fit, survey
from avalan.cli.parser import Parser
from avalan.errors import ModelError
from avalan.locale import _, _n, ngettext
from avalan.model import bundled

MOST_ROWS = 8

NEXT = (
    'avalan ask "What is this about?" --docs .',
    'avalan model run bundled "What does a compiler do?"',
    "avalan --help",
)


def configure(parser: Parser) -> None:
    """No options beyond the global ones."""
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the card."""
    machine = survey()
    models = models_on_disk(args.cache_dir)
    indexes = list(disk.indexes(state.home()))
    if console.as_json:
        console.json(_document(machine, models, indexes))
    else:
        _print_card(console, machine, models, indexes)
    return 0


def models_on_disk(cache_dir: str | None) -> list[FoundModel]:
    """Everything that could be run without a download."""
    return list(
        chain(
            _bundled(),
            disk.hub_models(disk.hub_cache(cache_dir)),
            disk.gguf_models(Path()),
            disk.ollama_models(),
        )
    )


def _bundled() -> list[FoundModel]:
    # A damaged installation is told by the command that needs the model, not here.
    with suppress(ModelError):
        return [
            FoundModel(name=model.name, where=_n("bundled"), size_bytes=model.size_bytes)
            for model in bundled.catalogue().values()
        ]
    return []


def _document(
    machine: Machine, models: Sequence[FoundModel], indexes: Sequence[tuple[str, int]]
) -> dict[str, object]:
    free = machine.free_bytes
    return {
        "version": __version__,
        "machine": asdict(machine),
        "parameters_that_fit": parameters_that_fit(free) if free else None,
        "models": [asdict(model) for model in models],
        "indexes": [{"name": name, "size_bytes": size} for name, size in indexes],
    }


def _print_card(
    console: Console,
    machine: Machine,
    models: Sequence[FoundModel],
    indexes: Sequence[tuple[str, int]],
) -> None:
    console.print((f"avalan {__version__}", "bold"))
    _section(console, _("This machine"), _machine_rows(machine))
    rows = [(model.name, bytes_text(model.size_bytes), _(model.where)) for model in models]
    _section(console, _("Models on disk"), rows or [(_("none"),)])
    sizes = [(name, bytes_text(size)) for name, size in indexes]
    none = _("none yet; make one with: avalan index add PATH")
    _section(console, _("Indexes"), sizes or [(none,)])
    _section(console, _("Try"), [(command,) for command in NEXT], wrap=False)


def _machine_rows(machine: Machine) -> list[tuple[str, str]]:
    cores = ngettext("{n} core", "{n} cores", machine.num_cores)
    gpus = [f"{gpu.name}, {_memory_text(gpu.memory_bytes, gpu.free_bytes)}" for gpu in machine.gpus]
    return [
        (_("CPU"), f"{machine.cpu}, {cores}"),
        (_("Memory"), _memory_text(machine.memory_bytes, machine.free_bytes)),
        (_("GPU"), "; ".join(gpus) or _("none found")),
        *_fit_rows(machine.free_bytes),
    ]


def _memory_text(size: int | None, free: int | None) -> str:
    if size is None or free is None:
        return _("unknown")
    return _("{size}, {free} free", size=bytes_text(size), free=bytes_text(free))


def _fit_rows(free_bytes: int | None) -> list[tuple[str, str]]:
    if free_bytes is None:
        return [(_("Fits"), _("unknown, since the free memory is"))]
    fits = parameters_that_fit(free_bytes)
    counts = ", ".join(
        _("{count} in {kind}", count=count_text(fits[kind]), kind=kind) for kind in BYTES_PER_WEIGHT
    )
    note = _(
        "({sizes} bytes each, in {share:.0%} of the free memory)",
        sizes=", ".join(f"{size:g}" for size in BYTES_PER_WEIGHT.values()),
        share=WEIGHT_SHARE,
    )
    return [(_("Fits"), _("weights: {counts}", counts=counts)), ("", note)]


def _section(
    console: Console, title: str, rows: Sequence[Sequence[str]], *, wrap: bool = True
) -> None:
    console.print()
    console.print((title, "bold"))
    shown = rows[:MOST_ROWS]
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    for row in shown:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        if others:
            _print_row(console, f"  {first}  ", "  ".join(others).rstrip())
        else:
            console.print(f"  {first}".rstrip(), wrap=wrap)
    if len(rows) > MOST_ROWS:
        more = ngettext(
            "and {n} more, all in: avalan --json",
            "and {n} more, all in: avalan --json",
            len(rows) - MOST_ROWS,
        )
        console.print((f"  {more}", "dim"))


def _print_row(console: Console, label: str, text: str) -> None:
    for line in hang(label, [text], console.width, indent=len(label), margin=4, cut=False):
        console.print(*line, wrap=False)
