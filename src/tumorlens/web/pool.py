"""The worker processes: one command at a time each, killed when it takes too long, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator

from tumorlens.errors import AnalysisFailed, ConfigError
from tumorlens.processes import Failed, Message, parse
from tumorlens.web.messages import REPLIES, Done, Reply, Start
from tumorlens.web.settings import Settings

_LINE = 256 * 2**20  # bytes of one answer; overlays of many slices are in it
_START_SECONDS = 120


class Pool:
    """Worker processes. The first is kept for what is quick, where there are several."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers = [_Worker(settings) for _ in range(settings.workers)]
        self._free = asyncio.Condition()
        self.waiting = 0
        self.restarts = 0
        self._releasing: set[asyncio.Future[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Starts the workers; ConfigError if the weights cannot be used."""
        try:
            await asyncio.gather(*(worker.start() for worker in self._workers))
        except AnalysisFailed as error:
            raise ConfigError(str(error)) from error

    def close(self) -> None:
        """Lets workers that end stay ended: `stop` comes next."""
        self._closing = True

    async def stop(self) -> None:
        """Stops the workers at once."""
        self.close()
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        await asyncio.gather(*self._releasing, return_exceptions=True)

    @property
    def alive(self) -> int:
        """Workers that run."""
        return sum(worker.running for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Their process numbers."""
        return [worker.pid for worker in self._workers if worker.running]

    async def ask(self, command: Message, seconds: float, *, quick: bool) -> AsyncGenerator[Reply]:
        """What a worker tells of a command, a `FindInFile` or `ReadCase`; `Done` last.

        Args:
            command: What to do.
            seconds: After which it is given up, and its worker killed.
            quick: Whether it is done in no time, and may take the worker kept for such.

        Raises:
            AnalysisFailed: If it could not do it.
        """
        worker = await self._take(quick)
        finished = False
        try:
            if not worker.running:
                await worker.start()  # in its own time, not in that of what is asked
            until = asyncio.get_running_loop().time() + seconds
            async with contextlib.aclosing(worker.ask(command)) as replies:
                while not finished:
                    # Around the wait alone: a timeout that holds a yield would cancel whoever reads what is yielded.
                    async with asyncio.timeout_at(until):
                        message = await anext(replies)
                    finished = isinstance(message, Done | Failed)
                    if isinstance(message, Failed):
                        raise AnalysisFailed(message.reason, trace=message.trace, lasting=message.lasting)
                    yield message
        except TimeoutError:
            problem = f"it took longer than the {seconds:g} seconds it may take; send less at a time"
            raise AnalysisFailed(problem) from None
        finally:
            # To its end, even if whoever asked is cancelled again meanwhile: or the worker would be busy for ever.
            release = asyncio.ensure_future(self._release(worker, finished))
            self._releasing.add(release)
            release.add_done_callback(self._releasing.discard)
            await asyncio.shield(release)

    async def _take(self, quick: bool) -> _Worker:
        candidates = self._workers if quick or len(self._workers) == 1 else self._workers[1:]
        self.waiting += 1
        try:
            async with self._free:
                await self._free.wait_for(lambda: not all(w.busy for w in candidates))
                worker = next(w for w in candidates if not w.busy)
                worker.busy = True
                return worker
        finally:
            self.waiting -= 1

    async def _release(self, worker: _Worker, finished: bool) -> None:
        """A worker is free again; one that did not finish is dead, or busy with what nobody waits for."""
        try:
            if not finished:
                self.restarts += 1
                await worker.stop()
                if not self._closing:
                    with contextlib.suppress(AnalysisFailed, OSError):  # it is started when it is next asked
                        await worker.start()
        finally:
            async with self._free:
                worker.busy = False
                self._free.notify_all()


class _Worker:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self.busy = False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        # What the server knows is not the worker's to know: no database, no password is in its environment.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TUMORLENS_", "PG"))}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # Memory that is freed goes back at once, so that thousands of files leave no trace.
        environment |= {"MALLOC_ARENA_MAX": "2"}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tumorlens.web.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # libraries quote files there
            env=environment,
            limit=_LINE,
        )
        command = Start(weights=self._settings.weights, memory=self._settings.limits.memory)
        try:
            async with asyncio.timeout(_START_SECONDS):
                async for message in self.ask(command):
                    if isinstance(message, Failed):
                        raise AnalysisFailed(message.reason)
        except BaseException as error:
            await self.stop()  # half started, it would answer the next question with what it has to say of its start
            if isinstance(error, TimeoutError):
                raise AnalysisFailed(f"no worker has started within {_START_SECONDS} seconds") from error
            raise

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if process.stdin:
                process.stdin.close()

    async def ask(self, command: Message) -> AsyncGenerator[Reply]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(command.line())
            await process.stdin.drain()
            while line := await process.stdout.readline():
                message = parse(REPLIES, line)
                yield message
                if isinstance(message, Done | Failed):
                    return
        except (ConnectionError, ValueError) as error:
            raise AnalysisFailed(_DIED, died=True) from error
        raise AnalysisFailed(_DIED, died=True)


_DIED = "the process that read it was lost; a file in it may be damaged, or too large"
