"""The desk: takes cases in, has them read one after another, tells whoever watches, and clears away what is old."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from sqlalchemy.orm.exc import StaleDataError

from tumorlens.errors import AnalysisFailed
from tumorlens.web.audit import Audit
from tumorlens.web.exchange import Exchange
from tumorlens.web.messages import Done, ReadCase, Reply, Rules, TilesRead
from tumorlens.web.metrics import Metrics
from tumorlens.web.pool import Pool
from tumorlens.web.settings import Settings
from tumorlens.web.store import Store
from tumorlens.web.tables import FAILED, Case

Result = TypeVar("Result")

log = logging.getLogger("tumorlens.web")

ATTEMPTS = 2
"""How often a case is begun whose worker is lost: a damaged file would take every one with it."""

ABANDONED_SECONDS = 600
"""After which a case whose upload stopped has failed."""

_SWEEP_SECONDS = 60
_HEARTBEAT_SECONDS = 10

QUICK_FILES, QUICK_BYTES = 4, 16 * 2**20
"""Up to which a case is quick, and does not wait behind long series."""

LOOK_SECONDS = 1.0
"""Between two looks at what a node hands over."""

_HELD = 16  # messages that are written to the database at once
_QUEUE = 1000  # events that a watcher who does not listen is kept


class Desk:
    """The queue of cases of a store: a pool reads them, within the settings' limits.

    The keys that DICOM files are de-identified with are derived from the server's secret.
    """

    def __init__(
        self, settings: Settings, store: Store, pool: Pool, audit: Audit, metrics: Metrics, secret: bytes
    ) -> None:
        self._settings, self._store, self._pool, self._audit = settings, store, pool, audit
        self._metrics, self._secret = metrics, secret
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads: set[asyncio.Future[Any]] = set()
        self._watchers: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._dismissed = False
        self.exchange = None if settings.exchange is None else Exchange(settings.exchange, store)

    async def open(self) -> None:
        """Takes up what a server that was stopped left, and begins to clear away."""
        for case in await self._in_thread(self._store.unfinished):
            self.submit(case)
        self._spawn(self._clear_away())
        if self.exchange is not None:
            self._spawn(self._beside_the_node(self.exchange))

    async def close(self) -> None:
        """Stops; cases that are being read are taken up at the next start."""
        self.dismiss()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A thread cannot be cancelled: what is being written is written to its end before the database closes.
        await asyncio.gather(*self._threads, return_exceptions=True)

    def submit(self, case: Case) -> None:
        """Puts a case into the queue."""
        self._spawn(self._read(case))

    async def watch(self) -> AsyncGenerator[dict[str, Any]]:
        """Events as they happen: a case's identifier, status, slices done and in all. A heartbeat has none."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_QUEUE)
        self._watchers.add(queue)
        try:
            while not self._dismissed:
                event: dict[str, Any] | None = {}
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_HEARTBEAT_SECONDS):
                        event = await queue.get()
                if event is None:
                    return
                yield event
        finally:
            self._watchers.discard(queue)

    def dismiss(self) -> None:
        """Sends all watchers away, so that the server need not wait for them when it stops."""
        self._dismissed = True
        for queue in self._watchers:
            with contextlib.suppress(asyncio.QueueFull):  # it listens no more, or sees it at the next event
                queue.put_nowait(None)

    @property
    def watchers(self) -> int:
        """Number of open event streams."""
        return len(self._watchers)

    def announce(self, case: Case | None, **more: Any) -> None:
        """Tells all watchers how a case stands."""
        if case is None:
            return
        event = {"case": case.id, "status": case.status, "slices": case.slices, "total": case.total, **more}
        for queue in self._watchers:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(event)

    def key_for(self, case_id: str) -> bytes:
        """What a case's DICOM files are de-identified with: another for each case, so that none can be linked."""
        return hmac.digest(self._secret, case_id.encode(), "sha256")

    async def _read(self, case: Case) -> None:
        store, limits = self._store, self._settings.limits
        uploads = await self._in_thread(store.uploads, case.id)
        key = self.key_for(case.id).hex() if self._settings.deidentify else None
        command = ReadCase(
            folder=store.folder_of(case.id),
            uploads=tuple((u.number, u.name) for u in uploads),
            axis=case.axis,
            rules=Rules(files=limits.files, size=limits.case_bytes, key=key),
            given=bool(case.origin),
        )
        quick = case.files <= QUICK_FILES and case.size <= QUICK_BYTES
        error, retry, began = "", True, time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._have_read(case.id, command, limits.seconds, quick)
            except AnalysisFailed as problem:
                error, retry = str(problem), not problem.lasting
                log.warning("case failed", extra={"case": case.id, "attempt": attempt, "trace": problem.trace})
                if problem.died and attempt < ATTEMPTS:
                    continue
            except asyncio.CancelledError:
                raise
            except Exception as problem:
                # The database, perhaps: its own messages quote rows.
                error = "the server could not keep it; its log says more, then try again"
                log.exception("case failed", exc_info=problem, extra={"case": case.id})
            else:
                error = ""
            break
        try:
            done = await self._in_thread(store.finish, case.id, error, retry)
        except StaleDataError:  # deleted in this moment
            done = None
        except Exception:
            log.exception("case could not be finished", extra={"case": case.id})
            return
        if done is None:
            # Deleted while it was read: whatever its worker wrote meanwhile goes too.
            await self._in_thread(store.delete, case.id)
        else:
            self._metrics.cases.labels(done.status).inc()
            action = "case.failed" if done.status == FAILED else "case.done"
            seconds = round(time.monotonic() - began, 3)
            log.info(action, extra={"case": case.id, "slices": done.slices, "seconds": seconds})
            weights = f"weights {done.weights_sha256[:12]}, {done.slices} slices, {done.label or 'nothing'}"
            await self._in_thread(self._audit.note, "server", action, case.id, weights)
        self.announce(done)

    async def _have_read(self, case_id: str, command: ReadCase, seconds: float, quick: bool) -> None:
        store = self._store
        held: list[Reply] = []
        begun, last = False, 0.0
        case: Case | None = None
        async with contextlib.aclosing(self._pool.ask(command, seconds, quick=quick)) as messages:
            async for message in messages:
                if not begun:
                    begun = True
                    self.announce(case := await self._in_thread(store.begin, case_id))
                if isinstance(message, TilesRead):
                    self.announce(case, tiles=message.done, of=message.total)
                    continue
                held.append(message)
                # The first finding is shown at once, the others a few times a second.
                if isinstance(message, Done) or len(held) >= _HELD or time.monotonic() - last > 0.3:
                    case = await self._in_thread(store.add_found, case_id, held)
                    if case is None:
                        return  # deleted meanwhile
                    self.announce(case)
                    held, last = [], time.monotonic()

    async def _clear_away(self) -> None:
        """Every minute: deletes old cases, and fails those whose upload stopped."""
        while True:
            try:
                await self._in_thread(self._sweep)
            except Exception:
                log.exception("clearing away failed; it is tried again")
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _beside_the_node(self, exchange: Exchange) -> None:
        """Takes what the node hands over, and hears what became of what was sent to it."""
        failing = False
        while True:
            try:
                while (case := await self._in_thread(exchange.take)) is not None:
                    await self._in_thread(self._audit.note, "server", "case.handed over", case.id, case.origin)
                    self.announce(case)
                    self.submit(case)
                for case_id in await self._in_thread(exchange.hear):
                    self.announce(await self._in_thread(self._store.get, case_id))
                failing = False
            except Exception as problem:
                if not failing:  # a full disk, perhaps, that stays so for hours
                    log.exception("what the node hands over waits", exc_info=problem)
                failing = True
            await asyncio.sleep(LOOK_SECONDS)

    def _sweep(self) -> None:
        now = time.time()
        for case in self._store.old(now - self._settings.keep_days * 86400):
            self._store.delete(case.id)
            self._audit.note("server", "case.expired", case.id)
            self.announce(case, deleted=True)
        for case in self._store.abandoned(now - ABANDONED_SECONDS):
            error = "the upload was broken off; drop the files again"
            self.announce(self._store.update(case.id, status=FAILED, error=error, retry=case.files > 0))
            self._audit.note("server", "case.failed", case.id, "upload broken off")

    async def _in_thread(self, call: Callable[..., Result], *arguments: Any) -> Result:
        work = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
        self._threads.add(work)
        work.add_done_callback(self._threads.discard)
        return await asyncio.shield(work)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
