"""What a run says about itself: a line of `metrics.jsonl` per report, and an event to show."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from avalan.train import run_folder
from avalan.train.run_folder import StepReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the run begins that has no steps to report."""

    text: str


Event = Phase | StepReport


class Progress(TrainerCallback):
    """Turns the Trainer's logs into `StepReport`s, and ends the run after a step when asked to."""

    def __init__(self, out: Path, tokens_per_step: int, show: Callable[[Event], None]) -> None:
        self.out = out
        self.tokens_per_step = tokens_per_step
        self.show = show
        self.started: tuple[float, int] | None = None
        self.is_stopping = False
        self.last: StepReport | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            run_folder.forget_reports_after(state.global_step, self.out)
        self.started = (time.monotonic(), state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.is_stopping:
            control.should_save = control.should_training_stop = True

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        if not logs or self.started is None:
            return
        if "eval_loss" in logs and self.last is not None:
            self._tell(
                replace(self.last, step=state.global_step, held_out_loss=float(logs["eval_loss"]))
            )
            return
        if "loss" not in logs or not state.is_world_process_zero:
            return
        began, first_step = self.started
        speed = (state.global_step - first_step) / (time.monotonic() - began)
        report = StepReport(
            step=state.global_step,
            num_steps=state.max_steps,
            loss=float(logs["loss"]),
            learning_rate=float(logs["learning_rate"]),
            tokens_per_s=speed * self.tokens_per_step,
            remaining_s=(state.max_steps - state.global_step) / speed,
        )
        self.last = report
        self._tell(report)

    def _tell(self, report: StepReport) -> None:
        with (self.out / run_folder.METRICS).open("a") as file:
            file.write(json.dumps(asdict(report)) + "\n")
        self.show(report)
