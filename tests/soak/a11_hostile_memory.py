"""A11: each process against another that scribbles over every shared word, under sanitizers where they are built."""

import row as rows

TITLE = "hostile memory: no word that the other process writes crashes this one or installs what was not checked"
CI, FULL = "4 s each way", "10 min each way"
PROGRAM = "tests/soak/hostile_memory_test"


def run(row):
    sanitized = (rows.SANITIZED / PROGRAM).exists()
    row.expect(sanitized or not row.full, "the full size wants build-asan: scripts/test sanitizers")
    row.figure("sanitized" if sanitized else "not sanitized")
    # Each in a process of its own: the attacker is forked off before anything has threads.
    for case in ("TheDataplaneStandsAHostileControlPlane", "TheControlPlaneStandsAHostileDataplane"):
        row.gtest(PROGRAM, f"HostileMemory.{case}", build=rows.SANITIZED if sanitized else rows.BUILD,
                  UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
