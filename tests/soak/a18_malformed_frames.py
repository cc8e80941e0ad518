"""A18: malformed frames as fast as they come."""

import row as rows

TITLE = "malformed frames at line rate: every counter and buffer exact, garbage costs no more than good traffic"
CI, FULL = "2 x 10^6 mutated frames", "10^7 under sanitizers, 10^9 without"
PROGRAM, CASE = "tests/soak/hostile_frames_test", "Malformed.*"


def run(row):
    if row.full:
        row.expect((rows.SANITIZED / PROGRAM).exists(), "the full size wants build-asan: scripts/test sanitizers")
        row.gtest(PROGRAM, CASE, build=rows.SANITIZED, SKYEDGE_MUTANTS=10**7,
                  UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    row.gtest(PROGRAM, CASE, SKYEDGE_MUTANTS=row.size(2 * 10**6, 10**9))
