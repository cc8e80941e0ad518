// A random network around one node: links, sessions, rules, groups and destinations, the installs that change them, and
// what arrives: good frames of every kind and bad ones of every sort. All of it follows from the seed.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/installs.h"

namespace sky::test {

class World {
 public:
  static constexpr unsigned kPorts = 3;
  static constexpr uint16_t kMtu = 1500;

  explicit World(uint64_t seed) : random_(seed) {}

  /// The batches with which it begins.
  std::vector<std::vector<InstallMessage>> beginning();
  /// A change; the dataplane may refuse it.
  std::vector<InstallMessage> change();
  /// Tells what was accepted, so that later frames name it.
  void accepted(const std::vector<InstallMessage>& batch);

  struct Arrival {
    unsigned port;
    Bytes frame;
  };
  Arrival frame();
  /// The three pings that bring a link up.
  std::vector<Arrival> pings(uint16_t link);
  Bytes plain() { return inner(chance(95)); }

  uint64_t below(uint64_t end) { return random_() % end; }
  bool chance(unsigned percent) { return below(100) < percent; }

 private:
  struct LinkEnds {
    unsigned port = 0;
    std::vector<LinkPeer> peers;  ///< one per chain that was installed
  };
  struct SessionEnds {
    uint64_t id = 0;
    std::vector<SessionPeer> peers;
  };
  template <typename Map>
  auto& any(Map& map) {
    return *std::next(map.begin(), static_cast<ptrdiff_t>(below(map.size())));
  }
  std::vector<InstallMessage> new_link(uint16_t index);
  std::vector<InstallMessage> new_session(uint32_t index);
  std::vector<InstallMessage> renewed(KeyOwner owner, uint32_t index);
  InstallMessage new_rule();
  InstallMessage new_member(uint32_t group);
  InstallMessage new_destination();
  std::vector<InstallMessage> deletion();
  Bytes inner(bool outward);
  Bytes packet_for(const Rule& rule);
  Bytes datagram(const Rule& rule);
  Bytes probe();
  Bytes between_two();
  Arrival sealed();
  void spoil(Header& header);
  void mutate(Bytes& frame);
  Bytes some_bytes(size_t count);
  FrameKind any_kind();

  std::mt19937_64 random_;
  uint64_t next_key_ = 1;
  std::map<uint16_t, LinkEnds> links_;
  std::map<uint32_t, SessionEnds> sessions_;
  std::map<uint32_t, Rule> rules_;
  std::map<std::pair<Ipv6Address, unsigned>, DestinationMessage> destinations_;
  std::vector<Arrival> captured_;
};

}  // namespace sky::test
