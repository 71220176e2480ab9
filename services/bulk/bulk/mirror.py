"""Documents that went from a corpus go from the index."""

from functools import partial
from typing import TYPE_CHECKING

from bulk.corpus import Plan
from bulk.stores import Patience, Stores, Told
from bulkhead.auth import Principal, Role
from retriever.ingest.runs import KEY_ID

if TYPE_CHECKING:
    from bulk.run import Tally

UNREAD = "some of the corpus could not be read, so nobody knows what went from it"
EMPTY = "the corpus holds no document: that looks like a folder that is not mounted"


async def remove_gone(told: Told, stores: Stores, corpus: str, plan: Plan, tally: "Tally") -> None:
    """Remove what earlier runs over the corpus took in and this one did not find.

    Nothing where the corpus is empty, or a part of it could not be read.
    """
    if tally.counts["unread"]:
        tally.spared = UNREAD
        return
    if not tally.documents:
        tally.spared = EMPTY
        return
    patience = Patience(stores.runs, tally.job_id)
    tenant = told.who.tenant
    # Earlier runs may have been for other groups.
    admin = Principal(KEY_ID, tenant, frozenset(), Role.ADMIN)
    ids = await patience.until(partial(stores.runs.gone, tenant, corpus, tally.job_id))
    for id_ in ids:
        if await patience.until(partial(stores.index.delete, admin, id_)) is not None:
            tally.removed += 1
