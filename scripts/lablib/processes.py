"""Processes of a lab: supervised, named by files that hold a PID, ended together."""

import os
import signal
import time
from pathlib import Path

# Restarts its command as systemd's Restart=always does. Exit code 2 is a configuration error: trying again is no use.
SUPERVISOR = """
log=$1 pidfile=$2; shift 2
while :; do
  "$@" >>"$log" 2>&1 & echo $! >"$pidfile"
  wait $!; code=$?
  [ $code = 2 ] && exit 2
  echo "lab: ended with code $code, next start in 0.2 s" >>"$log"
  sleep 0.2
done
"""


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def alive(pidfile, mark):
    """The PID in the file if that process lives and its command line holds `mark` (PIDs are used again), else 0."""
    try:
        pid = int(pidfile.read_text())
    except (OSError, ValueError):
        return 0
    return pid if mark in command_line(pid) else 0


def signal_process(pid, number, group=False):
    try:
        (os.killpg if group else os.kill)(pid, number)
    except ProcessLookupError:
        pass


def end_groups(loops, mark, seconds=3, number=signal.SIGTERM):
    """Ends supervisors and their processes: asked first by this signal, then forced. Waits for what is left of them."""
    groups = [group for group in (alive(loop, mark) for loop in loops) if group]
    pids = groups + [alive(loop.with_suffix(".pid"), "") for loop in loops if alive(loop, mark)]
    for group in groups:
        signal_process(group, number, group=True)
    end = time.monotonic() + seconds
    while any(command_line(pid) for pid in pids if pid) and time.monotonic() < end:  # a zombie has no command line
        time.sleep(0.02)
    for group in groups:
        signal_process(group, signal.SIGKILL, group=True)
    for loop in loops:
        loop.unlink(missing_ok=True)
