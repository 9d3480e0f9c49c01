"""Forgets studies that were done long ago, so that the disk does not fill."""

from __future__ import annotations

import logging
import time

from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short
from tumorlens.node.spool import Spool
from tumorlens.results.handover import SOURCES

_LOG = logging.getLogger(__name__)
_DAY = 86_400.0
_AT_ONCE = 50  # studies, so that receiving is not held up for long


def forget_old(spool: Spool, ledger: Ledger, days: float) -> bool:
    """Removes the files of studies of which all is done, and nothing has come for so many days.

    Dead letters keep their study. What was analysed, and what its results are called, is remembered: a study that
    comes again as it was is not analysed again, and one that comes again and has grown is, whole. Gives whether there
    may be more to forget.
    """
    old = ledger.rows(
        "SELECT uid FROM studies s WHERE last_seq <= upto AND last_received < ? "
        "AND EXISTS (SELECT 1 FROM instances i WHERE i.study = s.uid) "
        "AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.study = s.uid AND i.dead IS NOT NULL) "
        "AND NOT EXISTS (SELECT 1 FROM revisions r WHERE r.study = s.uid AND r.state <> 'done') LIMIT ?",
        *(time.time() - days * _DAY, _AT_ONCE),
    )
    for (study,) in old:
        with ledger.transaction():  # nothing of it is taken in meanwhile
            files = "SELECT file FROM instances WHERE study = ?"
            of_study = "revision IN (SELECT id FROM revisions WHERE study = ?)"
            results = f"SELECT file FROM results WHERE {of_study} AND file <> ''"  # noqa: S608
            # Files first: a kill between the two leaves rows, and the next time does the rest.
            made = [spool.absolute(name) for (name,) in ledger.rows(results, study)]
            received = [spool.absolute(name) for (name,) in ledger.rows(files, study)]
            for path in (*received, *made, *(path.with_name(SOURCES) for path in made)):
                path.unlink(missing_ok=True)
            ledger.write("DELETE FROM instances WHERE study = ?", study)
            ledger.write(f"UPDATE results SET file = '' WHERE {of_study}", study)  # noqa: S608
        _LOG.info("study %s was done long ago and is forgotten", short(study))
    return len(old) == _AT_ONCE
