"""How many files and connections this process may have open."""

import logging
import resource

logger = logging.getLogger(__name__)

_WANTED = 65_536
_FEW = 1024


def raise_limit() -> int:
    """Lift the soft limit, 1,024 on many machines, towards the hard one; as far as it is used here.

    Says in the log where that leaves few.
    """
    soft, hard = (
        _WANTED if limit == resource.RLIM_INFINITY else min(limit, _WANTED)
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if hard > soft:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
    if hard < _FEW:
        logger.warning("few files may be open at once", extra={"limit": hard})
    return hard
