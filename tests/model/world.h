// A random network around one node: links, sessions, rules, groups and destinations, the installs that change them, and
// what arrives: good frames of every kind and bad ones of every sort. All of it follows from the choices it is given, a
// seed's or a fuzzer's.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/installs.h"

namespace sky::test {

/// Where a world's choices come from.
class Choices {
 public:
  virtual ~Choices() = default;
  virtual uint64_t below(uint64_t end) = 0;
  virtual uint64_t word() = 0;
};

class Seeded final : public Choices {
 public:
  explicit Seeded(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t end) override { return random_() % end; }
  uint64_t word() override { return random_(); }

 private:
  std::mt19937_64 random_;
};

struct WorldSize {
  uint16_t links = 10;
  uint32_t sessions = 4, groups = 6;
  unsigned rules = 40, destinations = 8;  ///< at its beginning
  unsigned burst = 64;                    ///< frames at a time
};

class World {
 public:
  static constexpr unsigned kPorts = 3;
  static constexpr uint16_t kMtu = 1500;

  /// `choices` outlive the world. Key IDs count from `first_key` on.
  explicit World(Choices& choices, const WorldSize& size = {}, uint64_t first_key = 1)
      : choices_(&choices), size_(size), next_key_(first_key) {}
  void draw_from(Choices& choices) { choices_ = &choices; }

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

  const WorldSize& size() const { return size_; }
  uint64_t next_key() const { return next_key_; }
  uint64_t below(uint64_t end) { return choices_->below(end); }
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

  uint64_t word() { return choices_->word(); }

  Choices* choices_;
  WorldSize size_;
  uint64_t next_key_;
  std::map<uint16_t, LinkEnds> links_;
  std::map<uint32_t, SessionEnds> sessions_;
  std::map<uint32_t, Rule> rules_;
  std::map<std::pair<Ipv6Address, unsigned>, DestinationMessage> destinations_;
  std::vector<Arrival> captured_;
};

}  // namespace sky::test
