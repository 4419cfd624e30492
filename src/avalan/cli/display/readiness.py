"""Before a download: whether the model fits this machine, and how fast it may run."""

from collections.abc import Mapping
from typing import Any

from avalan.cli.display.units import bytes_text
from avalan.cli.machine import survey
from avalan.hub import bandwidth
from avalan.hub.download import Plan, free_bytes
from avalan.hub.preflight import Preflight, needs_of
from avalan.locale import _


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
        bandwidth=None if device not in (None, "cpu") else bandwidth.measure(),
    )


def rows(preflight: Preflight) -> list[tuple[str, str]]:
    """Labels and sentences."""
    found = [(_("Disk"), _disk(preflight)), (_("Memory"), _memory(preflight))]
    speed = preflight.tokens_per_s
    if speed is not None and preflight.bandwidth is not None:
        text = _(
            "about {speed:,} tokens/s, estimated: {size} to read for each, {rate}/s measured",
            speed=rounded(speed),
            size=bytes_text(preflight.needs.read_bytes),
            rate=bytes_text(round(preflight.bandwidth)),
        )
        found.append((_("Speed"), text))
    return found


def _disk(preflight: Preflight) -> str:
    free, size = preflight.free_disk_bytes, bytes_text(preflight.download_bytes)
    if free is None:
        return _("{size} to download; how much is free is not known", size=size)
    values = {"size": size, "free": bytes_text(free)}
    if preflight.fits_disk:
        return _("fits: {size} to download, {free} free", **values)
    return _("does not fit: {size} to download, {free} free", **values)


def _memory(preflight: Preflight) -> str:
    needs, free = preflight.needs, preflight.free_memory_bytes
    size = bytes_text(needs.memory_bytes)
    if free is None:
        return _(
            "about {size} with {count:,} tokens of context; how much is free is not known",
            size=size,
            count=needs.context,
        )
    values = {"size": size, "count": needs.context, "free": bytes_text(free)}
    if preflight.fits_memory:
        return _("fits: about {size} with {count:,} tokens of context, {free} free", **values)
    return _(
        "does not fit now: about {size} with {count:,} tokens of context, {free} free", **values
    )


def rounded(value: float) -> int | float:
    """To two digits, since it is an estimate."""
    short = float(f"{value:.2g}")
    return int(short) if short >= 10 else short


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
