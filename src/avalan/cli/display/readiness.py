"""Before a download: whether the model fits this machine, and how fast it may run."""

from collections.abc import Mapping
from typing import Any

from avalan.cli.display.units import bytes_text
from avalan.cli.machine import survey
from avalan.hub.download import Plan, free_bytes
from avalan.hub.preflight import Preflight, measure_bandwidth, needs_of
from avalan.locale import _, _n, ngettext


def survey_for(plan: Plan, config: Mapping[str, Any], *, device: str | None) -> Preflight:
    """Measure this machine; takes about 0.15 s."""
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
    if preflight.tokens_per_s is not None:
        found.append((_("Speed"), _speed(preflight)))
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


def _speed(preflight: Preflight) -> str:
    """The estimate, and what it is the sum of."""
    values = {
        "speed": _rounded(preflight.tokens_per_s or 0),
        "time": _rounded((preflight.read_s or 0) * 1000),
        "size": bytes_text(preflight.needs.read_bytes),
        "rate": bytes_text(round(preflight.bandwidth or 0)),
        "rest": _rounded(preflight.layers_s * 1000),
    }
    if not preflight.layers_s:
        return _(
            "about {speed:,} tokens/s, estimated: {time} ms for each to read {size} at the "
            "measured {rate}/s",
            **values,
        )
    return ngettext(
        "about {speed:,} tokens/s, estimated: {time} ms for each to read {size} at the measured "
        "{rate}/s, and {rest} ms for {n} layer",
        "about {speed:,} tokens/s, estimated: {time} ms for each to read {size} at the measured "
        "{rate}/s, and {rest} ms for {n} layers",
        preflight.needs.num_layers,
        **values,
    )


def _rounded(value: float) -> float:
    """Two digits; it is an estimate."""
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
