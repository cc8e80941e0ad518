// The rings between the two processes, and those between main core and worker, with a thread at either end: every
// message arrives once, whole and in order, and slots are left wiped.
#include "dataplane/protocol/shm_ring.h"

#include <algorithm>
#include <memory>

#include "dataplane/worker_channel.h"
#include "tests/threads/two_threads.h"

namespace sky::test {
namespace {

template <typename Message>
void send(ShmProducer<Message>& producer, uint64_t sequence) {
  using Record = Numbered<sizeof(Message) / 8 - 1>;
  const auto message = __builtin_bit_cast(Message, Record::of(sequence));
  wait_until([&] { return producer.push(message); });
}

/// False when it is not the message that `sequence` says.
template <typename Message>
bool receive(ShmConsumer<Message>& consumer, uint64_t sequence) {
  using Record = Numbered<sizeof(Message) / 8 - 1>;
  Message message;
  wait_until([&] { return consumer.pop(message); });
  const auto record = __builtin_bit_cast(Record, message);
  return record.sequence == sequence && record.whole();
}

/// `count` messages each way, both ways at once, in rings of that capacity.
template <typename Message>
void exchange(ShmProducer<Message>& down_in, ShmConsumer<Message>& down_out, ShmProducer<Message>& up_in,
              ShmConsumer<Message>& up_out, uint64_t capacity, uint64_t count) {
  uint64_t wrong_up = 0, wrong_down = 0;
  // Whoever is ahead by a ring waits, so each side must also take what comes.
  const auto side = [&](auto& out, auto& in, uint64_t& wrong) {
    const uint64_t ahead = capacity / 2;  // so that either may be half a ring before the other
    for (uint64_t i = 0; i < count + ahead; ++i) {
      if (i < count) send(out, i);
      if (i >= ahead) wrong += !receive(in, i - ahead);
    }
  };
  two_threads([&] { side(down_in, up_out, wrong_up); }, [&] { side(up_in, down_out, wrong_down); });
  EXPECT_EQ(0u, wrong_up);
  EXPECT_EQ(0u, wrong_down);
  EXPECT_EQ(0u, up_out.available());
  EXPECT_EQ(0u, down_out.available());
  EXPECT_FALSE(down_in.broken() || down_out.broken() || up_in.broken() || up_out.broken());
}

template <typename Message, uint32_t Capacity>
struct Segment {
  ShmRingPositions positions;
  std::array<Message, Capacity> slots;
};

TEST(ShmRing, TwoWaysBetweenTwoThreads) {
  constexpr uint32_t kSlots = 1024;
  using Ring = Segment<InstallMessage, kSlots>;
  const auto down = std::make_unique<Ring>(), up = std::make_unique<Ring>();
  ShmProducer<InstallMessage> down_in(&down->positions, down->slots.data(), kSlots);
  ShmConsumer<InstallMessage> down_out(&down->positions, down->slots.data(), kSlots);
  ShmProducer<InstallMessage> up_in(&up->positions, up->slots.data(), kSlots);
  ShmConsumer<InstallMessage> up_out(&up->positions, up->slots.data(), kSlots);
  exchange(down_in, down_out, up_in, up_out, kSlots, operations() / 2);
  for (const InstallMessage& slot : down->slots) {
    const auto bytes = __builtin_bit_cast(std::array<uint8_t, sizeof slot>, slot);
    EXPECT_TRUE(std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; }));
  }
}

// A packet is as dear as 32 messages.
TEST(ShmRing, PacketsBetweenMainCoreAndWorker) {
  dataplane::WorkerChannel channel;
  exchange(channel.down.producer, channel.down.consumer, channel.up.producer, channel.up.consumer, 256,
           operations() / 64);
}

TEST(ShmRing, EventsOfAWorkerThatIsFasterThanTheMainCore) {
  dataplane::WorkerChannel channel;
  uint64_t wrong = 0;
  two_threads(
      [&] {
        for (uint64_t i = 0; i < operations(); ++i) wrong += !receive(channel.events.consumer, i);
      },
      [&] {
        for (uint64_t i = 0; i < operations(); ++i) send(channel.events.producer, i);
      });
  EXPECT_EQ(0u, wrong);
}

TEST(ShmRing, PacketsHandedOnBetweenWorkers) {
  dataplane::WorkerChannel one(2), other(2);
  exchange(one.handed[1]->producer, one.handed[1]->consumer, other.handed[0]->producer, other.handed[0]->consumer,
           dataplane::WorkerChannel::kHanded, operations() / 2);
}

}  // namespace
}  // namespace sky::test
