// Once per process: an EXPECT that does not hold ends it, with its message, where the fuzzer sees it.
#include <gtest/gtest.h>
#include <sodium.h>

#include <cstdlib>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  GTEST_FLAG_SET(break_on_failure, true);
  if (sodium_init() < 0) std::abort();
  return 0;
}
