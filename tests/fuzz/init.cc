// Once per process: an EXPECT that does not hold ends it, with its message, where the fuzzer sees it.
#include <gtest/gtest.h>
#include <sodium.h>

#include <csignal>
#include <cstdlib>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  GTEST_FLAG_SET(break_on_failure, true);
  std::signal(SIGTRAP, [](int) { std::abort(); });  // GoogleTest's break, which libFuzzer does not hear
  if (sodium_init() < 0) std::abort();
  return 0;
}
