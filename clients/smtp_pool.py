"""Connections to a mail relay that are kept between mails."""

import asyncio
from collections.abc import Awaitable, Callable

from clients.smtp_connection import SmtpConnection

_CHECK_AFTER = 5.0  # seconds without a mail: the relay, or a firewall, may have forgotten it
_CHECK_WITHIN = 5.0  # seconds to find out that it has, and to part


class SmtpPool:
    """Opens what `connect` opens, and closes it after so many mails, or seconds without one."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[SmtpConnection]],
        *,
        mails_per_connection: int,
        idle_timeout: float,
    ) -> None:
        self._connect = connect
        self._mails_per_connection = mails_per_connection
        self._idle_timeout = idle_timeout
        self._kept: list[SmtpConnection] = []  # by when they were used, the last one last
        self._parting: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    async def take(self) -> SmtpConnection:
        """One that was used a moment ago or answers, else a new one. Raises what `connect` does."""
        while self._kept:
            connection = self._kept.pop()
            if not connection.dialogue.is_open:
                continue
            is_recent = _now() - connection.used_at < _CHECK_AFTER
            if is_recent and connection.is_clean:
                return connection
            try:
                if await connection.is_ready(within=_CHECK_WITHIN):
                    return connection
            except BaseException:
                connection.dialogue.abort("interrupted")
                raise
            connection.dialogue.abort("it does not answer")
        return await self._connect()

    def give_back(self, connection: SmtpConnection) -> None:
        """For the next mail, if it is fit for one."""
        if not connection.dialogue.is_open:
            return
        connection.used_at = _now()
        if connection.mails >= self._mails_per_connection:
            self._part(connection)
            return
        self._kept.append(connection)
        if self._sweeping is None:
            self._sweep_in(self._idle_timeout)

    async def aclose(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        while self._kept:
            self._part(self._kept.pop())
        if self._parting:
            await asyncio.wait(self._parting)

    def _sweep_in(self, seconds: float) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        kept_since = _now() - self._idle_timeout
        idle = [one for one in self._kept if one.used_at <= kept_since]
        self._kept = self._kept[len(idle) :]
        for connection in idle:
            self._part(connection)
        if self._kept:
            self._sweep_in(self._kept[0].used_at - kept_since)

    def _part(self, connection: SmtpConnection) -> None:
        """Say goodbye, while nobody waits for it."""
        task = asyncio.create_task(connection.quit(within=_CHECK_WITHIN))
        self._parting.add(task)
        task.add_done_callback(self._parting.discard)


def _now() -> float:
    """The event loop's seconds."""
    return asyncio.get_running_loop().time()
