// Which circuits a node calls dead when it loses a link, and where it says so. Links 1 and 2 lead to one neighbour, 3
// and 4 to another; a circuit has a rule each way, each other's twin.
#include "dataplane/agent/dead_routes.h"

#include <gtest/gtest.h>

#include <cstring>

#include "dataplane/protocol/frame.h"

namespace sky::dataplane {
namespace {

struct Said {
  LinkIndex link;
  RouteId route;
  bool operator==(const Said&) const = default;
};

class DeadRoutesTest : public testing::Test {
 protected:
  /// `route` comes in by `in` and goes out by `next`, or by `alternate` under the ID that follows `next_route`.
  void put(uint32_t route, uint16_t in, uint16_t next, uint32_t next_route, uint32_t twin, LinkIndex alternate) {
    RuleMessage message;
    message.rule = {.route_id = RouteId{route},
                    .in_link = LinkIndex{in},
                    .action = RuleAction::forward,
                    .next_link = LinkIndex{next},
                    .alternate_link = alternate,
                    .next_route = RouteId{next_route},
                    .alternate_route = RouteId{next_route + 1},
                    .twin = RouteId{twin}};
    rules.put(message);
  }
  std::vector<Said> lose(uint16_t link) {
    up.erase(LinkIndex{link});
    dead.link_down(LinkIndex{link});
    while (dead.turn()) {
    }
    return std::exchange(said, {});
  }
  /// That neighbour's list.
  std::vector<Said> hear(uint16_t link, const std::vector<uint32_t>& routes) {
    ControlPacket packet{.link = LinkIndex{link}};
    for (const uint32_t route : routes) {
      const Be32 word(route);
      std::memcpy(&packet.payload[packet.length], &word, sizeof(word));
      packet.length = static_cast<uint16_t>(packet.length + sizeof(word));
    }
    EXPECT_TRUE(dead.received(packet));
    while (dead.turn()) {
    }
    return std::exchange(said, {});
  }
  bool send(const ControlPacket& packet) {
    for (size_t at = 0; at < packet.length; at += sizeof(Be32)) {
      Be32 route;
      std::memcpy(&route, &packet.payload[at], sizeof(route));
      said.push_back({packet.link, RouteId{route.get()}});
    }
    return true;
  }

  RouteTable rules{64};
  std::set<LinkIndex> up{LinkIndex{0}, LinkIndex{1}, LinkIndex{2}, LinkIndex{3}, LinkIndex{4}};
  std::vector<Said> said;
  DeadRoutes dead{rules,
                  {.usable = [this](LinkIndex link) { return up.contains(link); },
                   .send = [this](const ControlPacket& packet) { return send(packet); },
                   .circuit_died = [](RouteId) {}}};
};

TEST_F(DeadRoutesTest, ACircuitWithoutAnotherLinkIsDead) {
  put(10, 1, 3, 110, 20, kNoLink);
  put(20, 3, 1, 120, 10, kNoLink);
  EXPECT_EQ(lose(1), (std::vector<Said>{{LinkIndex{3}, RouteId{110}}}));
}

TEST_F(DeadRoutesTest, OneWhoseOtherDirectionLeavesByAParallelLinkIsNot) {
  put(10, 1, 3, 110, 20, kNoLink);
  put(20, 3, 2, 120, 10, kNoLink);
  EXPECT_EQ(lose(1), std::vector<Said>{});
}

TEST_F(DeadRoutesTest, NorIsOneWithAnAlternate) {
  put(10, 1, 3, 110, 20, kNoLink);
  put(20, 3, 1, 120, 10, LinkIndex{2});
  EXPECT_EQ(lose(1), std::vector<Said>{});
  put(11, 2, 3, 111, 20, kNoLink);  // what the neighbour sends on the parallel link
  EXPECT_EQ(lose(2).size(), 1u) << "now both are lost";
}

TEST_F(DeadRoutesTest, ItIsToldByTheAlternateWhereTheNextLinkIsDown) {
  put(10, 1, 3, 110, 20, LinkIndex{4});
  put(20, 3, 1, 120, 10, kNoLink);
  up.erase(LinkIndex{3});
  EXPECT_EQ(lose(1), (std::vector<Said>{{LinkIndex{4}, RouteId{111}}}));
}

TEST_F(DeadRoutesTest, ATwinThatIsGoneSparesNothing) {
  put(10, 1, 3, 110, 0, kNoLink);
  EXPECT_EQ(lose(1).size(), 1u);
}

TEST_F(DeadRoutesTest, OfAListOnlyTheNeighboursOwnRoutesArePassedOn) {
  put(20, 3, 1, 120, 10, kNoLink);
  EXPECT_EQ(hear(0, {0, 64, 20, 33}), std::vector<Said>{}) << "no route, none that stands, another neighbour's";
  EXPECT_EQ(hear(3, {20, 84}), (std::vector<Said>{{LinkIndex{1}, RouteId{120}}}));
}

}  // namespace
}  // namespace sky::dataplane
