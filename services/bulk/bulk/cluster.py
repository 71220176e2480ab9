"""Ray: a cluster by its address, or one of this machine alone, which nobody else can reach.

Whoever reaches Ray's ports and has its token runs programs of their own as this user: that is what
they are for. So a Ray of our own listens on loopback alone and has a token that nobody else is
told, it has no dashboard, and what it writes lies in a folder that goes with it.
"""

import logging
import os
import secrets
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

from bulk.settings import BulkSettings
from bulkhead.settings import make_secret

READER_CPUS, PREPARER_CPUS, PUBLISHER_CPUS, CALLER_CPUS = 0.25, 0.5, 0.25, 0.1
"""Shares of a core that Ray plans with. Of the embedders, those that only ask a service."""
_BLOCK_BYTES = 16 * 2**20
_PATIENCE = {
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_health_check_failure_threshold": "20",
}
"""A busy machine is no dead one: Ray takes a process that is late for lost, as of a node."""


def embedder_cpus(settings: BulkSettings) -> float:
    """The share of a core of one that embeds; a GPU's host does little."""
    if settings.embedding == "service":
        return CALLER_CPUS
    return CALLER_CPUS if settings.embedder_gpus else 1.0


@contextmanager
def cluster(settings: BulkSettings) -> Iterator[None]:
    """Ray, until the block ends. Raises `ConnectionError` where a cluster does not answer.

    Ray must not have been imported before: it reads its environment then.
    """
    # For the processes that it starts, too.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    ends = signal.getsignal(signal.SIGTERM)
    with ExitStack() as exits:
        if settings.ray_address:
            import ray
            import ray.data

            ray.init(settings.ray_address, logging_level=logging.ERROR)
        else:
            folder = Path(tempfile.mkdtemp(prefix="bulk-"))
            exits.callback(shutil.rmtree, folder, ignore_errors=True)
            ray = _started(settings, folder)
        exits.callback(ray.shutdown)
        signal.signal(signal.SIGTERM, ends)  # Ray puts its own there, which exits amid all
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        # That a small corpus keeps few actors busy is no news.
        warnings.filterwarnings("ignore", module=r"ray\.data")
        context.target_max_block_size = _BLOCK_BYTES
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield


def _started(settings: BulkSettings, folder: Path) -> ModuleType:
    """A Ray of this machine alone."""
    token = folder / "token"
    make_secret(token, secrets.token_hex(32))
    os.environ |= {
        "RAY_AUTH_TOKEN_PATH": str(token),
        # It counts as a Ray that no cluster grows of: it takes 127.0.0.1 for its address, and
        # listens nowhere else. Given as an address it would put the machine's own in its place.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        **_PATIENCE,
    }
    import ray
    import ray.data

    for last in (False, False, True):  # its own patience with the second of its processes is 30 s
        try:
            ray.init(
                "local",
                num_cpus=_planned_cpus(settings),
                object_store_memory=settings.object_store_mib * 2**20,
                include_dashboard=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
            break
        except Exception as error:
            ray.shutdown()
            if last:
                raise RuntimeError(f"Ray cannot be started: {error}") from error
    return ray


def _planned_cpus(settings: BulkSettings) -> int:
    """What the steps plan with, or the cores where these are more: all steps run at once."""
    needed = (
        2 * READER_CPUS
        + settings.preparers * PREPARER_CPUS
        + settings.publishers * PUBLISHER_CPUS
        + settings.embedders * embedder_cpus(settings)
    )
    return max(os.cpu_count() or 1, round(needed + 0.5))
