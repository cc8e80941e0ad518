// What a dataplane believes of its control plane: requests of any bytes on the socket, and a process that holds the
// segment and writes any word of it between any two turns, while workers punt and tell.
#include <gtest/gtest.h>

#include "dataplane/agent/agent.h"
#include "dataplane/protocol/doorbell.h"
#include "tests/fuzz/input.h"
#include "tests/unit/agent/client.h"
#include "tests/unit/agent/messages.h"
#include "tests/unit/agent/model.h"

namespace sky::fuzz {
namespace {

using namespace dataplane;
using namespace dataplane::test;

constexpr uint64_t kBootId = 0xb007;
constexpr Capacities kSizes{.ports = 2, .links = 6, .sessions = 6, .rules = 64, .groups = 6, .destinations = 6};

/// One input: a model of tables, an agent, two control planes that want the same segment.
class Siege {
 public:
  Siege(Endpoint& endpoint, Stats stats, const std::string& path)
      : endpoint_(endpoint), path_(path), agent_(endpoint, kBootId, stats, model_, model_, model_, channels_, hooks()) {
    for (uint16_t link = 0; link < 3; ++link) model_.state.links.insert(link);
  }

  void step(Input& input) {
    const uint8_t head = input.byte();
    auto& client = clients_[head >> 7];
    if ((head & 15) == 0) {
      client.reset();  // one socket less before one more
      client.emplace(path_, request(input));
      return turn(2);
    }
    if ((head & 15) == 1) {
      client.reset();
      return turn(1);
    }
    if (client && client->rings == nullptr) client->reply();
    if (client && client->rings != nullptr) act(head & 15, *client, input);
    if ((head & 15) >= 13) workers(input);
    turn(1 + (head >> 6 & 1));
  }
  void finish() {
    for (auto& client : clients_) client.reset();
    turn(4);
    EXPECT_EQ(nullptr, endpoint_.owner());
    EXPECT_FALSE(channel_.takes_punts.load());
  }

 private:
  Agent::Hooks hooks() {
    return {.link_state = [](const LinkStateEvent&) {},
            .dead_routes = [](const ControlPacket& packet) { EXPECT_TRUE(is_dead_routes(packet)); },
            .retire = [](std::function<void()> free) { free(); }};
  }

  static AttachRequest request(Input& input) {
    AttachRequest request;
    if (input.byte() < 0xc0) return request;
    const auto at = input.byte() % sizeof(request);
    reinterpret_cast<uint8_t*>(&request)[at] ^= input.byte();
    return request;
  }

  void act(unsigned kind, Client& client, Input& input) {
    switch (kind) {
      case 2:
      case 3:
        return position(client, input);
      case 4:
        return scribble(client.rings, sizeof(RingsSegment), input);
      case 5:
        return scribble(client.packets, sizeof(PacketsSegment), input);
      case 6:
      case 7:
        client.install.push(input.plain<InstallMessage>());
        return;
      case 8:
        return batch(client, input);
      case 9:
        client.down.push(packet(input));
        return;
      case 10:
        return client.ask_again();
      case 11:
        for (int& fd : client.fds) close(std::exchange(fd, -1));
        return;
      case 12:
        ring_doorbell(client.fds[kDoorbellDownFd]);
        return;
      default:
        client.acks.available();
    }
  }

  /// Any of the twelve positions: near what it was, or anything.
  void position(Client& client, Input& input) {
    ShmRingPositions* rings[] = {&client.rings->install_positions, &client.rings->ack_positions,
                                 &client.rings->event_positions,   &client.packets->down_positions,
                                 &client.packets->up_positions,    &client.packets->seen_positions};
    const uint8_t which = input.byte();
    auto& word = which & 1 ? rings[(which >> 1) % 6]->head : rings[(which >> 1) % 6]->tail;
    word.store((which & 0x80) != 0 ? input.number<uint64_t>() : word.load() + input.number<uint16_t>() - 0x100);
  }
  void scribble(void* segment, size_t bytes, Input& input) {
    const auto at = input.below(bytes);
    const auto what = input.bytes(std::min<size_t>(input.byte(), bytes - at));
    std::ranges::copy(what, static_cast<uint8_t*>(segment) + at);
  }
  void batch(Client& client, Input& input) {
    client.install.push(InstallMessage::of(BeginMessage{
        .generation = ++generation_, .boot_id = kBootId, .fence = endpoint_.owner() ? endpoint_.owner()->fence() : 0}));
    const uint32_t count = input.byte() % 8;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t index = input.byte() % 8;
      InstallMessage message = InstallMessage::of(good_link(static_cast<uint16_t>(index)));
      if (index % 3 == 1) message = InstallMessage::of(good_forward(index << 4, 0, 1));
      if (index % 3 == 2) message = InstallMessage::of(test::delete_of(Verb::delete_link, index));
      client.install.push(message);
    }
    client.install.push(InstallMessage::of(CommitMessage{.count = count, .generation = generation_}));
  }

  static ControlPacket packet(Input& input) {
    ControlPacket packet;
    input.head(packet, offsetof(ControlPacket, payload));
    return packet;
  }

  void workers(Input& input) {
    InstallMessage event = input.plain<InstallMessage>();
    event.verb = static_cast<Verb>(to_underlying(Verb::link_state) + input.byte() % 4);
    ControlPacket punt = packet(input);
    punt.length %= punt.payload.size() + 1;
    for (unsigned times = 1u << input.byte() % 10; times > 0; --times) {
      channel_.events.producer.push(event);
      channel_.up.producer.push(punt);
    }
  }

  void turn(int times) {
    for (; times > 0; --times) {
      agent_.turn(now_ns_ += 1'000'000);
      agent_.report(own_events_);
      judge();
    }
  }

  void judge() {
    const Attachment* owner = endpoint_.owner();
    EXPECT_TRUE(owner == nullptr || !owner->broken()) << "a broken ring ends the attachment in the same turn";
    EXPECT_TRUE(model_.state.whole());
    ControlPacket packet;
    while (channel_.down.consumer.pop(packet)) {
      ASSERT_LE(packet.length, packet.payload.size());
      if (packet.kind == SlotKind::handshake) {
        EXPECT_LT(to_underlying(packet.port), kSizes.ports);
      } else {
        EXPECT_TRUE(packet.kind == SlotKind::link_packet || packet.kind == SlotKind::route_packet);
        EXPECT_TRUE(model_.has_link(packet.link));
      }
    }
  }

  Model model_{kSizes};
  WorkerChannel channel_;
  std::array<WorkerChannel*, 1> channels_{&channel_};
  std::vector<InstallMessage> own_events_;
  Endpoint& endpoint_;
  const std::string& path_;
  Agent agent_;
  std::array<std::optional<Client>, 2> clients_;
  uint64_t generation_ = 0;
  uint64_t now_ns_ = 0;
};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sky::fuzz;
  static const ScratchDirectory directory;
  static const std::string path = directory.path + "/dataplane.sock";
  static const sky::StatsLayout layout = sky::StatsLayout::of(1, kSizes.ports, kSizes.links, kSizes.groups);
  static const auto counters = *SharedPages::create("fuzz-counters", layout.bytes, true);
  static const auto endpoint = *Endpoint::open(path, kBootId, counters);
  Input input(data, size);
  Siege siege(*endpoint, Stats(counters.data(), layout), path);
  for (int steps = 0; !input.empty() && steps < 200; ++steps) siege.step(input);
  siege.finish();
  return 0;
}
