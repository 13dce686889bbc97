"""A run's metrics for other programs: a spreadsheet's table, and TensorBoard's events."""

import csv
import io
import time
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.errors import need

COLUMNS = ("step", "epoch", "lr", "train_loss", "train_accuracy", "dev_loss", "dev_accuracy")


def table(history: Sequence[dict[str, Any]]) -> bytes:
    """The history as CSV, a row for each step; the dev set's columns where it was evaluated."""
    dev = {record["step"]: record for record in history if record["kind"] == "dev"}
    ends = [record["step"] for record in history if record["kind"] == "epoch"]
    text, epoch = io.StringIO(), 1
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in (record for record in history if record["kind"] == "train"):
        step = record["step"]
        while epoch <= len(ends) and step > ends[epoch - 1]:
            epoch += 1
        seen = dev.get(step)
        measured = [seen["loss"], seen["accuracy"]] if seen else ["", ""]
        writer.writerow([step, epoch, record["lr"], record["loss"], record["accuracy"], *measured])
    return text.getvalue().encode()


def need_tensorboard() -> None:
    """Import what writes the events; it needs no PyTorch.

    Raises:
        UserError: if it is not installed.
    """
    for module in ("compat.proto.event_pb2", "summary.writer.record_writer"):
        need("TensorBoard", f"tensorboard.{module}", "--tensorboard")


class Events:
    """A run's history as TensorBoard reads it, grown record by record.

    The file is handed out whole, so that it is written as all others are: whole or not at all.
    """

    def __init__(self) -> None:
        need_tensorboard()
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        self._content, self._seen = io.BytesIO(), 0
        self._writer = RecordWriter(self._content)
        first = Event(wall_time=time.time(), file_version="brain.Event:2")
        self._writer.write(first.SerializeToString())

    def grown(self, history: Sequence[dict[str, Any]]) -> bytes:
        """The file's content, with the records that ``history`` has by now."""
        for record in history[self._seen :]:
            for tag, value in _scalars(record):
                summary = self._summary(value=[self._summary.Value(tag=tag, simple_value=value)])
                event = self._event(wall_time=time.time(), step=record["step"], summary=summary)
                self._writer.write(event.SerializeToString())
        self._seen = len(history)
        return self._content.getvalue()


def _scalars(record: dict[str, Any]) -> Iterable[tuple[str, float]]:
    if record["kind"] in ("train", "dev"):
        yield f"loss/{record['kind']}", record["loss"]
        yield f"accuracy/{record['kind']}", record["accuracy"]
    if record["kind"] == "train":
        yield "lr", record["lr"]
