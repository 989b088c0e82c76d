"""`python -m config.serve …`: uvicorn, which ends with 0 once a SIGTERM has been obeyed.

uvicorn drains and then sends the signal to itself again, so that whoever started it would see a
clean stop as a death by signal.
"""

import signal
import sys
from types import FrameType

import uvicorn


def end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    uvicorn.main()
