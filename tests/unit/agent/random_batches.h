// Batches drawn over few keys, so that they meet: about every answer of the agent comes up.
#pragma once

#include <random>
#include <vector>

#include "tests/unit/agent/messages.h"

namespace sky::dataplane::test {

/// For tables of at least 5 links, 4 sessions, 4 groups and 16 rules.
class RandomBatches {
 public:
  explicit RandomBatches(uint32_t seed) : random_(seed) {}

  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

  InstallMessage message() {
    switch (below(18)) {
      case 0:
      case 1:
        return InstallMessage::of(good_link(static_cast<uint16_t>(below(5))));
      case 2:
      case 3:
        return InstallMessage::of(good_session(below(4)));
      case 4:
      case 5:
        return InstallMessage::of(good_chain(below(2) ? KeyOwner::link : KeyOwner::session,
                                             below(2) ? Direction::send : Direction::receive, below(4),
                                             below(400) + 1));
      case 6: {
        auto put = good_forward(route(), link(), link());
        if (below(2)) put.rule.alternate_link = LinkIndex{link()};
        put.rule.alternate_route = RouteId{9};
        return InstallMessage::of(put);
      }
      case 7:
        return InstallMessage::of(good_consume(route(), link(), below(4)));
      case 8:
      case 9:
        return InstallMessage::of(good_group(below(4)));
      case 10:
        return InstallMessage::of(good_member(below(4), static_cast<uint8_t>(below(2)), link(), below(4)));
      case 11:
        return InstallMessage::of(destination());
      case 12:
        return InstallMessage::of(delete_of(Verb::delete_link, below(5)));
      case 13:
        return InstallMessage::of(delete_of(Verb::delete_session, below(4)));
      case 14:
        return InstallMessage::of(delete_of(Verb::delete_rule, route()));
      case 15:
        return InstallMessage::of(delete_of(Verb::delete_group, below(4)));
      case 16:
        return InstallMessage::of(delete_of(Verb::delete_member, below(4), static_cast<uint8_t>(below(2))));
      default:
        return InstallMessage::of(delete_of(destination()));
    }
  }

  std::vector<InstallMessage> batch() {
    // Mostly short: a long random batch is nearly always refused.
    std::vector<InstallMessage> messages(1 + below(below(4) == 0 ? 20 : 4));
    for (InstallMessage& one : messages) one = message();
    if (below(200) == 0) messages[below(static_cast<uint32_t>(messages.size()))].verb = Verb::ack;
    return messages;
  }

 private:
  uint32_t route() { return below(12) | (below(4) == 0 ? 0x100 : 0x200); }
  uint16_t link() { return static_cast<uint16_t>(below(5)); }
  DestinationMessage destination() {
    const uint32_t group = below(5);
    return good_destination(static_cast<uint8_t>(below(9)), group == 4 ? kLocalGroup : GroupIndex{group});
  }

  std::mt19937 random_;
};

}  // namespace sky::dataplane::test
