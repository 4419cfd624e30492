"""How many threads one model should compute with."""

import os
from pathlib import Path


def physical_cores() -> int:
    """Cores that this process may use; two hyper-threads of a core share its arithmetic."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    logical = len(allowed) if allowed else os.cpu_count() or 1
    siblings = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    try:
        per_core = 2 if siblings.read_text().strip() != "0" else 1
    except OSError:
        per_core = 1
    return max(1, logical // per_core)
