// What lies behind the tags: every tag holds, at a hop and end to end, so that route, control, egress and probes meet
// any bytes; with packets from TUN and control plane, and time.
#include "tests/fuzz/crossroads.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sky::fuzz::Crossroads crossroads(true);
  crossroads.run({data, size}, false);
  return 0;
}
