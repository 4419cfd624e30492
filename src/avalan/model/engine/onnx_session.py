"""Sessions of ONNX Runtime, whatever they compute; they can be begun before they are wanted."""

from pathlib import Path

import onnxruntime

from avalan.errors import ModelError, reason_of
from avalan.model import ahead
from avalan.model.engine.cores import physical_cores
from avalan.model.entities import EngineSettings

_ERRORS_ONLY = 3


def open_ahead(path: Path, settings: EngineSettings) -> None:
    """Begin to open the graph in `path` in a thread, for the next who wants it with `settings`.

    The first session takes 80 ms without the interpreter, in which Python can import modules.
    """
    ahead.begin(_open, path, settings)


def open_session(path: Path, settings: EngineSettings) -> onnxruntime.InferenceSession:
    """A session over the graph in `path`, whatever it computes.

    Raises:
        ModelError: ONNX Runtime cannot open it, or not on this device.
    """
    return ahead.result(_open, path, settings)


def _open(path: Path, settings: EngineSettings) -> onnxruntime.InferenceSession:
    provider = _provider(settings.device)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = settings.num_threads or min(physical_cores(), 8)
    options.inter_op_num_threads = 1
    if settings.low_cpu_mem_usage:
        # Otherwise the runtime keeps its own rearranged copy of every matrix beside the file's.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_cpu_mem_arena = False
    # Between two tokens the cores belong to whoever shows the text, not to waiting threads.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # onnxruntime's errors share no class of their own
        raise ModelError(
            "ONNX Runtime cannot open {path} ({reason}); export the model again or update "
            "onnxruntime.",
            path=path,
            reason=reason_of(error),
        ) from error


def _provider(device: str) -> str:
    kind = device.partition(":")[0]
    name = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind, "")
    if name not in onnxruntime.get_available_providers():
        raise ModelError(
            "This ONNX Runtime cannot compute on {device!r}; choose the device 'cpu', or "
            "install a build of onnxruntime for that device.",
            device=device,
        )
    return name
