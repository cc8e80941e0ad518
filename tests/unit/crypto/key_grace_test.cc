// A worker thread reads keys while the main thread steps, withdraws and wipes them as fast as quiescence allows: no key
// may be torn, and none may change while the worker holds it. Built with the thread sanitizer this also shows that
// every field is handed over properly.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "dataplane/crypto/key_ring.h"
#include "tests/unit/crypto/pattern_engine.h"

namespace sky::dataplane {
namespace {

using Secret = std::array<uint8_t, kChainSecretBytes>;

/// What rte_rcu_qsbr does, for one worker: main publishes a token, the worker shows the last it saw when quiescent.
struct Quiescence {
  std::atomic<uint64_t> token = 0;
  std::atomic<uint64_t> seen = 0;

  void quiescent() { seen.store(token.load(std::memory_order_acquire), std::memory_order_release); }
};

struct Shared {
  ReceiveKeys receive;
  SendKeys send;
  Quiescence quiescence;
  std::atomic<bool> stop = false;
};

/// Returns the number of keys that were not whole or changed in hand.
uint64_t work(Shared& shared) {
  uint64_t faults = 0;
  for (uint64_t i = 0; !shared.stop.load(std::memory_order_relaxed); ++i) {
    const KeySlot* send = shared.send.now();
    KeySlot* receive = shared.receive.for_session(i % kKeySlots);
    const uint64_t send_generation = send != nullptr ? send->generation : 0;
    const uint64_t receive_generation = receive != nullptr ? receive->generation : 0;
    if (receive != nullptr) receive->mark_seen();
    for (const KeySlot* slot : {send, static_cast<const KeySlot*>(receive)}) {
      if (slot != nullptr && !PatternEngine::whole(slot->key)) ++faults;
    }
    if (send != nullptr && send->generation != send_generation) ++faults;
    if (receive != nullptr && receive->generation != receive_generation) ++faults;
    shared.quiescence.quiescent();
  }
  return faults;
}

TEST(KeyGrace, NoWorkerEverSeesAKeyBeingWritten) {
  PatternEngine engine;
  const KeyPolicy policy = KeyPolicy::of_age(2, 1);  // ns: each round is past every deadline
  Shared shared;
  KeyIdMemories seen;
  KeyRing ring(shared.receive, shared.send, engine, policy, seen);
  uint64_t faults = 0;
  std::thread worker([&] { faults = work(shared); });

  uint64_t now_ns = 0, quiesced_ns = 0, token_ns = 0, steps = 0, last_generation = 0, id = 0;
  constexpr uint64_t kSteps = 100;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (steps < kSteps && std::chrono::steady_clock::now() < deadline) {
    now_ns += 10;
    Secret secret;
    secret.fill(static_cast<uint8_t>(now_ns));
    const Round round{now_ns, quiesced_ns};
    if (now_ns % 1'000 == 0) {
      ++id;
      EXPECT_TRUE(ring.receive.put_chain(id, id % 2, secret, round));
      EXPECT_TRUE(ring.send.put_chain(id, id / 3 % 2, secret, false, round));
    }
    ring.tick(round, {.frames = 1, .bytes = 1, .peer_hears = true});
    steps += ring.send.generation() != last_generation;
    last_generation = ring.send.generation();
    Quiescence& quiescence = shared.quiescence;
    if (quiescence.seen.load(std::memory_order_acquire) == quiescence.token.load(std::memory_order_relaxed)) {
      quiesced_ns = token_ns;
      token_ns = now_ns;
      quiescence.token.fetch_add(1, std::memory_order_release);
    } else {
      std::this_thread::yield();
    }
  }
  shared.stop = true;
  worker.join();
  EXPECT_EQ(0u, faults);
  EXPECT_EQ(kSteps, steps);
}

}  // namespace
}  // namespace sky::dataplane
