"""How much memory a process takes while something happens to it."""

import asyncio
from pathlib import Path
from typing import Final, Self

LOOK_S: Final = 0.005
PAGE_BYTES: Final = 4_096


def resident_bytes(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


class Growth:
    """`async with Growth(pid) as growth:` looks again and again; `most` is the peak, in bytes."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._pid = pid

    async def __aenter__(self) -> Self:
        self._before = resident_bytes(self._pid)
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self.most = max(self.most, resident_bytes(self._pid) - self._before)
            await asyncio.sleep(LOOK_S)
