#!/usr/bin/python3
"""Whether the machine itself stood still: what sleeps at a real-time priority is woken late by nobody's work in it.

Only a hypervisor that gives the CPU away, or a kernel that is held up, makes these sleepers late.
"""

import os
import signal
import subprocess
import sys
import time

STEP_S = 0.005


class Stalls:
    """`with Stalls() as stalls:` has a sleeper on each CPU; afterwards `stalls.longest_ms`: the longest delay of any.

    Where none may have a real-time priority, it is 0.
    """

    def __enter__(self):
        self.sleepers = [subprocess.Popen([sys.executable, __file__, str(cpu)], stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL, text=True) for cpu in os.sched_getaffinity(0)]
        return self

    def __exit__(self, *_):
        for sleeper in self.sleepers:
            sleeper.terminate()
        self.longest_ms = max(float(sleeper.communicate()[0] or 0) for sleeper in self.sleepers)


def sleep_on(cpu):
    """Until it is terminated; then prints its longest delay, in ms."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    longest = 0.0
    try:
        while True:
            start = time.monotonic()
            time.sleep(STEP_S)
            longest = max(longest, time.monotonic() - start - STEP_S)
    finally:
        print(longest * 1e3)


if __name__ == "__main__":
    sleep_on(int(sys.argv[1]))
