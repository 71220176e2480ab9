"""How full the disk under a service's data is, by OpenTelemetry's conventions for systems."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from bulkhead.telemetry import names


def watch(folder: Path) -> None:
    """Report free and used bytes of the file system that holds `folder`, whenever metrics are read.

    To be called once a process. While the folder is missing nothing is reported.
    """

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            return []
        # What is kept for root is neither: a service cannot use it, so it counts as used.
        return [
            Observation(usage.free, {names.FILESYSTEM_STATE: "free"}),
            Observation(usage.total - usage.free, {names.FILESYSTEM_STATE: "used"}),
        ]

    get_meter("bulkhead").create_observable_up_down_counter(
        "system.filesystem.usage",
        callbacks=[observe],
        unit="By",
        description="Bytes of the disk under this service's data, free and used.",
    )
