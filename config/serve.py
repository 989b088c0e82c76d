"""`python -m config.serve …`: uvicorn, which ends with 0 once a SIGTERM has been obeyed.

uvicorn drains and then sends the signal to itself again, so that whoever started it would see a
clean stop as a death by signal. Its defaults are ours where they differ.
"""

import signal
import sys
from types import FrameType
from typing import Final

import uvicorn

KEEP_ALIVE_S: Final = 75
"""An idle connection is closed after that. SDKs keep theirs for 5 seconds and nginx for 60: where
the server is not the most patient, a request can meet the close and is lost."""


def end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    uvicorn.main(default_map={"timeout_keep_alive": KEEP_ALIVE_S})


if __name__ == "__main__":
    main()
