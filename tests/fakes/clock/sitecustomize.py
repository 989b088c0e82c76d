"""In a process with this folder on its PYTHONPATH it is SHIFT_S later, or earlier, than it is."""

import os
import time

import time_machine

time_machine.travel(time.time() + float(os.environ["SHIFT_S"]), tick=True).start()
