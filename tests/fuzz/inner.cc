// The inner IP parser, the flow's hash and the destination map, each beside a naive one.
#include "dataplane/stages/inner.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/fuzz/router.h"
#include "tests/support/installs.h"

namespace sky::fuzz {
namespace {

using namespace dataplane;
using test::Bytes;

constexpr uint32_t kGroups = 64, kPrefixes = 128;
constexpr unsigned kMostSteps = 300;
constexpr FlowKey kFlowKey{1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29};

class Destinations {
 public:
  Destinations() {
    Router started;  // DPDK, for the map's memory
    map_ = std::move(*DestinationMap::create("fuzz", {kPrefixes, kGroups}));
  }

  void run(Input input) {
    for (unsigned steps = 0; !input.empty() && steps < kMostSteps; ++steps) step(input);
    while (!naive_.empty()) change(naive_.begin()->first, kNoGroup);
    EXPECT_EQ(0u, map_->count());
    EXPECT_FALSE(map_->next(0).has_value());
  }

 private:
  void step(Input& input) {
    switch (const uint8_t head = input.byte(); head & 3) {
      case 0:
      case 1:
        return packet(input.chunk());
      case 2:
        return put(prefix(input, (head & 4) != 0), (head & 8) != 0, input);
      default:
        return change(prefix(input, (head & 4) != 0), kNoGroup);
    }
  }

  void put(const DestinationKey& key, bool local, Input& input) {
    change(key, local ? kLocalGroup : GroupIndex{static_cast<uint32_t>(input.below(kGroups))});
  }
  static DestinationKey prefix(Input& input, bool six) {
    DestinationKey key{six ? Family::ipv6 : Family::ipv4, 0, {}};
    key.length = static_cast<uint8_t>(input.below(six ? 129 : 33));
    for (unsigned at = 0; at * 8 < key.length; ++at) key.prefix[at] = input.byte();
    for (unsigned bit = key.length; bit < 128; ++bit) key.prefix[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
    return key;
  }

  void change(DestinationKey key, GroupIndex group) {
    const bool known = naive_.contains(key);
    if (group == kNoGroup ? !known : !known && naive_.size() >= kPrefixes) return;  // the agent lets none of these by
    const bool staged = map_->stage({.key = key, .group = group, .cookie = 0});
    if (!staged) {  // no room in the second level: nothing changed
      map_->unstage();
    } else {
      map_->publish([] {});
      group == kNoGroup ? static_cast<void>(naive_.erase(key)) : static_cast<void>(naive_[key] = group);
    }
    EXPECT_TRUE(staged || group != kNoGroup);
    EXPECT_EQ(naive_.size(), map_->count());
    const auto* entry = map_->find(key);
    const auto found = naive_.find(key);
    ASSERT_EQ(found != naive_.end(), entry != nullptr);
    if (entry != nullptr) {
      EXPECT_EQ(found->second, entry->group);
    }
  }

  /// As the stages take a packet: nothing behind its last byte may be read.
  void packet(const Bytes& bytes) {
    InnerPacket inner{};
    const bool parsed = parse_inner(bytes, inner);
    ASSERT_EQ(test::is_ip(bytes), parsed);
    if (!parsed) return;
    EXPECT_EQ(flow_hash(bytes, inner, kFlowKey), flow_hash(bytes, inner, kFlowKey));
    AddressBurst burst;
    std::array<GroupIndex, kBurst> found;
    burst.add(0, inner, true);
    burst.add(1, inner, false);
    burst.add(2, inner, false);
    burst.add(3, inner, true);
    burst.find(*map_, found);
    const ptrdiff_t size = inner.family == Family::ipv6 ? 16 : 4;
    EXPECT_EQ(naive(inner.family, {inner.source, inner.source + size}), found[0]);
    EXPECT_EQ(naive(inner.family, {inner.destination, inner.destination + size}), found[1]);
    EXPECT_EQ(found[1], found[2]) << "the same address again";
    EXPECT_EQ(found[0], found[3]);
  }

  GroupIndex naive(Family family, const Bytes& address) const {
    int best = -1;
    GroupIndex group = kNoGroup;
    for (const auto& [key, each] : naive_) {
      if (key.family != family || key.length <= best || !test::in_prefix(address, key.prefix, key.length)) continue;
      best = key.length;
      group = each;
    }
    return group;
  }

  std::unique_ptr<DestinationMap> map_;
  std::map<DestinationKey, GroupIndex> naive_;
};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sky::fuzz::Destinations destinations;
  destinations.run({data, size});
  return 0;
}
