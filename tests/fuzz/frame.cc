// Any bytes on three ports of a whole node with real keys, and any packet under a tag that holds.
#include "tests/fuzz/crossroads.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sky::fuzz::Crossroads crossroads(false);
  crossroads.run({data, size}, true);
  return 0;
}
