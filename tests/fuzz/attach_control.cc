// What a control plane believes of its dataplane: replies of any bytes with any descriptors, and a segment whose words
// another process writes as it likes. What the attachment hands on is possible, in order and bounded.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "controlplane/install/attachment.h"
#include "controlplane/install/counters.h"
#include "tests/fuzz/input.h"
#include "tests/support/fake_dataplane.h"

namespace sky::fuzz {
namespace {

using namespace controlplane;
using test::FakeDataplane;

constexpr size_t kMostRows = 64;

const std::string& socket_path() {
  static const std::string path =
      std::filesystem::temp_directory_path() / ("skyedge-fuzz-attach-" + std::to_string(getpid()));
  return path;
}

bool is_row(Verb verb) {
  return verb >= Verb::put_link && verb <= Verb::put_destination && verb != Verb::put_key_chain;
}

class Siege {
 public:
  ~Siege() { std::filesystem::remove(socket_path()); }

  void run(Input& input) {
    for (unsigned lies = input.byte() % 4; lies > 0; --lies) lie(input);
    auto socket = ask_to_attach(socket_path());
    ASSERT_TRUE(socket.has_value());
    dataplane_.accept();
    auto handover = take_handover(*socket);
    if (!handover) return;
    look_at_counters(*handover);
    attachment_ = std::make_unique<Attachment>(
        std::move(*handover), kMostRows, [this](Event&& event) { take(event); },
        [this](const SeenPacket& record) { see(record); });
    bool good = true;
    for (int steps = 0; good && !input.empty() && steps < 200; ++steps) {
      step(input);
      good = attachment_->turn().has_value();
    }
    for (int turns = 0; good && turns < 3; ++turns) good = attachment_->turn().has_value();
  }

 private:
  void lie(Input& input) {
    const uint8_t head = input.byte();
    if (head < 0x60) {
      const auto at = input.byte() % sizeof(dataplane_.reply);
      reinterpret_cast<uint8_t*>(&dataplane_.reply)[at] ^= input.byte();
      dataplane_.reply.fence = 0;  // it counts with this one itself, and nobody judges it
      return;
    }
    if (head < 0xa0) return scribble(dataplane_.counters(), dataplane_.layout.bytes, input);
    auto& fds = dataplane_.fds;
    if (head < 0xb0) return fds.resize(input.byte() % 8u);
    if (fds.empty()) return;
    Descriptor& fd = fds[head % fds.size()];
    if (head < 0xc0)
      fd = memfd(input);
    else if (head < 0xd0)
      fd = Descriptor(open("/dev/null", O_RDWR | O_CLOEXEC));
    else
      std::swap(fd, fds[input.byte() % fds.size()]);
  }

  static Descriptor memfd(Input& input) {
    const uint32_t bytes = input.number<uint32_t>() % (64 << 20);
    return test::make_memfd(bytes, input.byte() % 2 == 0);
  }

  void look_at_counters(const Handover& handover) {
    const auto counters = Counters::view(handover.counters);
    if (!counters) return;
    const auto* begin = static_cast<const uint8_t*>(handover.counters.data());
    const auto inside = [&](const auto& array) {
      const auto* at = reinterpret_cast<const uint8_t*>(array.data());
      return array.empty() || (at >= begin && at + array.size_bytes() <= begin + handover.counters.bytes());
    };
    EXPECT_TRUE(inside(counters->workers()) && inside(counters->ports().rows()) && inside(counters->links().rows()) &&
                inside(counters->members().rows()));
    accounting(*counters);
  }

  void step(Input& input) {
    const uint8_t head = input.byte();
    switch (head % 12) {
      case 0:
        return position(input);
      case 1:
        return scribble(&dataplane_.rings(), sizeof(RingsSegment), input);
      case 2:
        return scribble(&dataplane_.packets(), sizeof(PacketsSegment), input);
      case 3:
        return dataplane_.push_event(input.plain<InstallMessage>());
      case 4:
        return dataplane_.push_ack(input.plain<InstallMessage>());
      case 5:
        return packet(input);
      case 6:
        row(input);
        return;
      case 7: {
        std::vector<InstallMessage> messages(input.byte() % 8);
        EXPECT_EQ(attached_, attachment_->install({.generation = ++generation_, .messages = messages}));
        return;
      }
      case 8:
        attachment_->send(input.plain<ControlPacket>());
        return;
      case 9:
        if (head >= 0x80) return dataplane_.hang_up();
        EXPECT_EQ(attached_, attachment_->watch(input.plain<WatchMessage>()));
        return record(input);
      default:
        if (dataplane_.tables.size() < 3 || head < 0x80) dataplane_.turn();
    }
  }

  void position(Input& input) {
    ShmRingPositions* rings[] = {&dataplane_.rings().install_positions, &dataplane_.rings().ack_positions,
                                 &dataplane_.rings().event_positions,   &dataplane_.packets().down_positions,
                                 &dataplane_.packets().up_positions,    &dataplane_.packets().seen_positions};
    const uint8_t which = input.byte();
    auto& word = which & 1 ? rings[(which >> 1) % 6]->head : rings[(which >> 1) % 6]->tail;
    word.store((which & 0x80) != 0 ? input.number<uint64_t>() : word.load() + input.number<uint16_t>() - 0x100);
  }
  static void scribble(void* at, size_t size, Input& input) {
    const auto from = input.below(size);
    const auto what = input.bytes(std::min<size_t>(input.byte(), size - from));
    std::ranges::copy(what, static_cast<uint8_t*>(at) + from);
  }
  void packet(Input& input) {
    ControlPacket packet;
    input.head(packet, offsetof(ControlPacket, payload));
    dataplane_.push_packet(packet);
  }
  void record(Input& input) {
    SeenPacket record;
    input.head(record, offsetof(SeenPacket, bytes));
    dataplane_.push_seen(record);
  }
  /// Of the dump to come.
  void row(Input& input) {
    auto message = input.plain<InstallMessage>();
    message.verb = static_cast<Verb>(to_underlying(Verb::put_link) + input.byte() % 7);
    const auto table = Table{static_cast<uint8_t>(1 + input.byte() % 6)};
    for (unsigned times = input.byte() % 40; times > 0; --times) dataplane_.tables[table].push_back(message);
  }

  void take(const Event& event) {
    if (const auto* attached = std::get_if<Attached>(&event)) {
      EXPECT_FALSE(std::exchange(attached_, true)) << "once";
      EXPECT_LE(attached->rows.size(), kMostRows);
      for (const InstallMessage& each : attached->rows) EXPECT_TRUE(is_row(each.verb));
      return;
    }
    EXPECT_TRUE(attached_) << "first of all";
    if (const auto* in = std::get_if<PacketIn>(&event)) {
      EXPECT_LE(in->packet.length, in->packet.payload.size());
    }
    if (const auto* told = std::get_if<DataplaneEvent>(&event)) {
      EXPECT_TRUE(told->message.verb >= Verb::link_state && told->message.verb <= Verb::circuit_damaged);
    }
  }

  void see(const SeenPacket& record) {
    EXPECT_TRUE(attached_) << "first of all";
    EXPECT_LE(record.kept, std::min<size_t>(record.length, record.bytes.size()));
    EXPECT_LT(record.stage, Stage::count);
    EXPECT_LT(record.verdict, kVerdictNames.size());
    EXPECT_LT(record.reason, kDropReasons);
    EXPECT_LT(size_t{to_underlying(record.form)}, kForms);
  }

  FakeDataplane dataplane_{socket_path()};
  std::unique_ptr<Attachment> attachment_;
  bool attached_ = false;
  uint64_t generation_ = 0;
};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sky::fuzz::Input input(data, size);
  sky::fuzz::Siege siege;
  siege.run(input);
  return 0;
}
