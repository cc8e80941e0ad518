// What the dataplane is made of, each beside the library call or the naive version in whose place it stands. Time is
// that of a burst of 64; items_per_second counts packets.
#include <benchmark/benchmark.h>
#include <sodium.h>

#include <cstdio>
#include <exception>

#include "tests/support/memory_port.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    if (sodium_init() < 0) return 2;
    sky::test::start_eal_once();
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "micro: %s\n", error.what());
    return 2;
  }
  return 0;
}
