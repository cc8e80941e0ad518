// Messages between two control planes: whatever is accepted has one form on the wire, the one that came, and fits a
// packet.
#include <gtest/gtest.h>

#include "controlplane/signalling/messages.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sky::controlplane;
  const Bytes bytes(data, data + size);
  const auto signal = decode_signal(bytes);
  if (!signal) {
    EXPECT_FALSE(signal.error().message.empty());
    return 0;
  }
  EXPECT_LE(size, sky::kMaxSignalBytes);
  EXPECT_EQ(bytes, encode_signal(*signal));
  const auto* setup = std::get_if<Setup>(&*signal);
  if (setup == nullptr) return 0;
  // What hops change is not vouched for; everything else is.
  Setup later = *setup;
  later.attempt ^= 1;
  later.hop = 1;
  later.mtu = kLeastMtu;
  later.return_route = sky::RouteId{1};
  later.refresh = !later.refresh;
  EXPECT_EQ(proven_bytes(*setup), proven_bytes(later));
  later.life_s = later.life_s == 1 ? 2 : 1;
  EXPECT_NE(proven_bytes(*setup), proven_bytes(later));
  return 0;
}
