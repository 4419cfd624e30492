"""Whether the hub answers: asked briefly, before anything that would wait long for it.

The client itself waits without end for a server that accepts a connection and stays silent, and
half a minute for one that is away.
"""

import os
import queue
import re
import threading
from typing import Any

import huggingface_hub
from huggingface_hub import constants

from avalan.locale import _

_TIMED_OUT = "timed out"
PATIENCE_S = 1.2
"""`HF_HUB_ETAG_TIMEOUT`, in seconds, sets another for networks that are slow."""


def why_unreachable() -> str | None:
    """Why the hub cannot be asked, as a part of a sentence; None where it answers."""
    if constants.HF_HUB_OFFLINE:
        return _("HF_HUB_OFFLINE is set")
    patience = _patience()
    # Made before the clock starts: it reads certificates, which takes its time.
    client = huggingface_hub.get_session()
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    # In a thread, since looking a name up waits as long as the system pleases.
    threading.Thread(target=lambda: answer.put(_ask(client, patience)), daemon=True).start()
    try:
        reason = answer.get(timeout=patience)
    except queue.Empty:
        reason = _TIMED_OUT
    if reason == _TIMED_OUT:
        reason = _("no answer within {seconds:g} s", seconds=patience)
    return reason and f"{constants.ENDPOINT}: {reason}"


def _patience() -> float:
    try:
        return float(os.environ.get("HF_HUB_ETAG_TIMEOUT", PATIENCE_S))
    except ValueError:
        return PATIENCE_S


def _ask(client: Any, patience: float) -> str | None:
    try:
        client.head(constants.ENDPOINT, timeout=patience, follow_redirects=False)
    except Exception as error:  # Whatever it is, the hub was not reached.
        return reason_of(error)
    return None


def reason_of(error: BaseException) -> str:
    """What an exception says, in a few words for the middle of a sentence."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return re.sub(r"^\[Errno -?\d+\] ", "", text) or type(error).__name__
