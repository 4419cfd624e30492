"""Before a download: whether the model fits this machine, and how fast it may run."""

from collections.abc import Mapping
from typing import Any

from avalan.cli.display.units import bytes_text
from avalan.cli.machine import survey
from avalan.hub.download import Plan, free_bytes
from avalan.hub.preflight import Preflight, measure_bandwidth, needs_of
from avalan.locale import _, _n


def survey_for(plan: Plan, config: Mapping[str, Any], *, device: str | None) -> Preflight:
    """Measure this machine; takes about half a second."""
    machine = survey()
    on_gpu = device is not None and device.startswith("cuda") and machine.gpus
    return Preflight(
        download_bytes=plan.missing_bytes,
        free_disk_bytes=free_bytes(plan.place.folder),
        needs=needs_of(plan.files, config),
        free_memory_bytes=machine.gpus[0].free_bytes if on_gpu else machine.free_bytes,
        # Of a graphics card nothing is measured, since no library for it may be there yet.
        bandwidth=None if device not in (None, "cpu") else measure_bandwidth(),
    )


def rows(preflight: Preflight) -> list[tuple[str, str]]:
    """Labels and sentences."""
    found = [(_("Disk"), _disk(preflight)), (_("Memory"), _memory(preflight))]
    speed, rate = preflight.tokens_per_s, preflight.bandwidth
    if speed is not None and rate is not None:
        short = float(f"{speed:.2g}")  # It is an estimate.
        text = _(
            "about {speed:,} tokens/s, estimated: {size} to read for each, {rate}/s measured",
            speed=int(short) if short >= 10 else short,
            size=bytes_text(preflight.needs.read_bytes),
            rate=bytes_text(round(rate)),
        )
        found.append((_("Speed"), text))
    return found


def _disk(preflight: Preflight) -> str:
    free, size = preflight.free_disk_bytes, bytes_text(preflight.download_bytes)
    if free is None:
        return _("{size} to download; how much is free is not known", size=size)
    text = _n("does not fit: {size} to download, {free} free")
    if preflight.fits_disk:
        text = _n("fits: {size} to download, {free} free")
    return _(text, size=size, free=bytes_text(free))


def _memory(preflight: Preflight) -> str:
    needs, free = preflight.needs, preflight.free_memory_bytes
    text = _n("does not fit now: about {size} with {count:,} tokens of context, {free} free")
    if free is None:
        text = _n("about {size} with {count:,} tokens of context; how much is free is not known")
    elif preflight.fits_memory:
        text = _n("fits: about {size} with {count:,} tokens of context, {free} free")
    size = bytes_text(needs.memory_bytes)
    return _(text, size=size, count=needs.context, free=bytes_text(free or 0))


def document(preflight: Preflight) -> dict[str, Any]:
    """For JSON."""
    needs = preflight.needs
    return {
        "download_bytes": preflight.download_bytes,
        "free_disk_bytes": preflight.free_disk_bytes,
        "fits_disk": preflight.fits_disk,
        "memory_bytes": needs.memory_bytes,
        "context": needs.context,
        "free_memory_bytes": preflight.free_memory_bytes,
        "fits_memory": preflight.fits_memory,
        "bandwidth_bytes_per_s": preflight.bandwidth,
        "estimated_tokens_per_s": preflight.tokens_per_s,
    }
