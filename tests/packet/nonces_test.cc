// No nonce comes twice under a key: two workers, each on a thread of its own, seal on the same link and session while
// their chains and circuits are replaced and control planes come and go. What a clear link carries shows the nonces of
// the session, what a sealed one carries those of the link.
#include <atomic>
#include <iostream>
#include <thread>

#include "tests/packet/crossroads.h"
#include "tests/support/contract.h"
#include "tests/support/soak.h"

namespace sky::test {
namespace {

using namespace dataplane;

constexpr unsigned kWorkers = 2;
constexpr GroupIndex kSealed{7}, kClear{8};
constexpr uint32_t kConsume = 0x700;

/// Whether nonces rise under each key. A key is used in one stretch: what comes back to an epoch is a newer chain.
class Rising {
 public:
  void take(unsigned epoch, uint64_t nonce) {
    if (epoch != epoch_) {
      epoch_ = epoch;
      ++keys_;
    } else if (nonce <= last_) {
      ++wrong_;
    }
    last_ = nonce;
    ++count_;
  }
  uint64_t count() const { return count_; }
  uint64_t wrong() const { return wrong_; }
  uint64_t keys() const { return keys_; }

 private:
  unsigned epoch_ = UINT32_MAX;
  uint64_t last_ = 0, count_ = 0, wrong_ = 0, keys_ = 0;
};

struct Sealer {
  Rising link, session;
  std::atomic<uint64_t> sealed = 0;
  std::vector<rte_mbuf*> buffers;  ///< its own: a pool shared by threads that the system may stop is slow
  bool foreign = false;            ///< a lane or stream that is not this worker's
};

class Nonces : public Crossroads {
 protected:
  Nonces() : Crossroads({.workers = kWorkers}) {}

  void SetUp() override {
    Crossroads::SetUp();
    spare.kind = FrameKind::clear;
    node.install({message(link_put(spare, 2)), message(group_put(7, kDomain)), message(group_put(8, kDomain)),
                  message(destination_put("fd00:f::", 32, kSealed)), message(destination_put("fd00:e::", 32, kClear))});
    node.install(circuits(0));
    node.turn();
    for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
    node.change();
  }

  /// Both circuits anew, under other routes and circuit IDs; the streams stay.
  std::vector<InstallMessage> circuits(uint32_t round) {
    std::vector<InstallMessage> out;
    for (const auto& [link, group, slot] : {std::tuple{&right, 7u, 0u}, std::tuple{&spare, 8u, 1u}}) {
      const uint32_t consume = kConsume + 2 * (round % 512) + slot;
      const uint8_t treatment = make_treatment(2, FrameKind::clear);
      out.push_back(message(consume_put(consume, link->link, far.session, 64, 1, 0x77, treatment,
                                        static_cast<uint8_t>(node.tables->owner(LinkIndex{link->link})))));
      MemberMessage member = member_put(group, 0, link->link, kNext + round, consume, far.session, 128);
      member.treatment = treatment;
      member.circuit = {static_cast<uint8_t>(round), static_cast<uint8_t>(round >> 8), static_cast<uint8_t>(slot), 1};
      out.push_back(message(member));
      if (round > 0) out.push_back(message(delete_of(Verb::delete_rule, kConsume + 2 * ((round - 1) % 512) + slot)));
    }
    return out;
  }
  /// New send chains of link and session, of the other parity each time.
  std::vector<InstallMessage> chains(uint32_t round) {
    const unsigned parity = round % 2;
    return {message(chain_put(KeyOwner::link, right.link, Direction::send, parity, 1'000'000 + 2 * round,
                              secret_of(1'000'000 + round))),
            message(chain_put(KeyOwner::session, far.session, Direction::send, parity, 1'000'001 + 2 * round,
                              secret_of(2'000'000 + round)))};
  }

  void fill(Batch& batch, std::vector<rte_mbuf*>& buffers) {
    for (; !batch.full(); next_ = !next_) {
      if (buffers.empty()) buffers.push_back(rte_pktmbuf_alloc(node.port(0).port().pool()));
      rte_mbuf* mbuf = buffers.back();
      buffers.pop_back();
      if (mbuf == nullptr) break;
      rte_pktmbuf_reset(mbuf);
      Slot& slot = batch.add();
      slot = {};
      slot.mbuf = mbuf;
      slot.data = rte_pktmbuf_mtod_offset(mbuf, uint8_t*, sizeof(EthernetHeader) + kDatagramOverhead);
      const Bytes& packet = next_ ? to_sealed_ : to_clear_;
      slot.length = static_cast<uint16_t>(packet.size());
      std::ranges::copy(packet, slot.data);
    }
  }
  /// Looks at what waits to be handed to the ports, instead of handing it over.
  static void inspect(Worker& worker, unsigned number, Sealer& sealer) {
    for (PortOutput& output : worker.context().outputs) {
      for (unsigned level = 0; level < kQueues; ++level) {
        for (uint16_t i = 0; i < output.count[level]; ++i) {
          rte_mbuf* frame = output.frames[level][i];
          auto* data = rte_pktmbuf_mtod_offset(frame, uint8_t*, sizeof(EthernetHeader));
          const LinkHeader& header = link_header(data);
          if (kind_of(header) == FrameKind::clear) {
            Be64 word;
            std::memcpy(&word, data + sizeof(LinkHeader) + sizeof(PacketHeader), sizeof(word));
            const uint64_t nonce = word.get();
            sealer.session.take(static_cast<unsigned>(nonce >> 62), nonce & ((uint64_t{1} << 48) - 1));
            sealer.foreign |= (nonce >> 48 & (kStreams - 1u)) != 128 + number;
          } else {
            sealer.link.take(header.epoch, header.lane_counter.get() & ((uint64_t{1} << 56) - 1));
            sealer.foreign |= header.lane_counter.get() >> 56 != number;
          }
          sealer.buffers.push_back(frame);
        }
        worker.context().count(Counter::transmitted, output.count[level]);
        output.count[level] = 0;
      }
    }
  }
  void seal(unsigned number, uint64_t most, Sealer& sealer) {
    Worker& worker = node.worker(number);
    worker.context().now_ns = node.now_ns();
    Batch batch;
    node.quiescence().online(number);
    while (sealer.sealed < most && !stop_) {
      fill(batch, sealer.buffers);
      worker.context().count(Counter::injected_tun, batch.count);
      worker.process_plain(batch);
      inspect(worker, number, sealer);
      sealer.sealed = sealer.link.count() + sealer.session.count();
      node.quiescence().quiescent(number);
    }
    node.quiescence().offline(number);
    for (rte_mbuf* buffer : sealer.buffers) rte_pktmbuf_free(buffer);
  }

  Contract contract{node};
  std::atomic<bool> stop_ = false;

 private:
  static thread_local bool next_;
  const Bytes to_sealed_ = ipv6({.source = "fd00:1::1", .destination = "fd00:f::1", .payload = 20});
  const Bytes to_clear_ = ipv6({.source = "fd00:1::1", .destination = "fd00:e::1", .payload = 20});
};

thread_local bool Nonces::next_ = false;

TEST_F(Nonces, RiseUnderEveryKeyWhateverIsReplaced) {
  const uint64_t seals = soak_size<uint64_t>(2'000'000, 100'000'000) / kWorkers;
  const uint32_t restarts = soak_size(50u, 1'000u);
  std::array<Sealer, kWorkers> sealers;
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < kWorkers; ++number)
    threads.emplace_back([&, number] { seal(number, seals, sealers[number]); });
  uint32_t round = 0;
  const auto done = [&] {
    return std::ranges::all_of(sealers, [&](const Sealer& each) { return each.sealed >= seals; });
  };
  for (bool good = true; good && (round < restarts || !done());) {
    ++round;
    contract.attach();
    auto puts = circuits(round);
    for (const InstallMessage& chain : chains(round)) puts.push_back(chain);
    good = contract.install({puts});
    EXPECT_TRUE(good) << "round " << round;
    contract.wait_for_grace();
  }
  stop_ = true;
  for (std::thread& thread : threads) thread.join();
  uint64_t total = 0, keys = 0;
  for (const Sealer& sealer : sealers) {
    for (const Rising* nonces : {&sealer.link, &sealer.session}) {
      EXPECT_EQ(0u, nonces->wrong()) << "nonces that did not rise";
      EXPECT_LE(nonces->keys(), round + 1) << "a key that was used before";
      EXPECT_GT(nonces->count(), 0u);
      total += nonces->count();
      keys += nonces->keys();
    }
    EXPECT_FALSE(sealer.foreign) << "another worker's lane or stream";
  }
  std::cout << "figure: " << total << " nonces of " << kWorkers << " workers rise under each of " << keys
            << " keys, over " << round << " control planes\n";
}

}  // namespace
}  // namespace sky::test
