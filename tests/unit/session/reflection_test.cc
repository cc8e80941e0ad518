// Whatever handshake message comes, from whomever: the answer is no longer.
#include <iostream>

#include "tests/support/soak.h"
#include "tests/unit/session/node.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kMs = 1'000'000;

/// What the node says to a message, as Links would send it: a cookie, an answer once its keys are installed.
Bytes answer_of(Node& node, ByteView message, ByteView source, uint64_t now_ns) {
  if (message_type(message) != MessageType::initiation) return {};
  auto step = node.receive(message, now_ns, false, source);
  if (!step) return {};
  return step->keys ? node.handshake->release_reply(step->keys->key_id) : step->send;
}

/// A message of some type and length; half of them with a mac1 that holds.
Bytes made_up(SeededRandom& random, const MacKeys& macs) {
  std::array<uint8_t, 4> dice;
  random.fill(dice);
  constexpr size_t kLengths[] = {168, 168, 168, 124, 68, 28, 169, 167};
  Bytes message(dice[0] < 32 ? dice[1] * 6u : kLengths[dice[1] % 8]);
  random.fill(message);
  if (message.size() < 8) return message;
  message[0] = dice[2] % 6;
  std::fill_n(message.begin() + 1, 3, 0);
  if (message.size() > 36 && dice[3] % 2 == 0) {
    const size_t covered = message.size() - 2 * sizeof(Mac);
    const Mac mac1 = keyed_mac(macs.mac1, ByteView(message).first(covered));
    std::ranges::copy(mac1, message.begin() + static_cast<ptrdiff_t>(covered));
    if (dice[3] % 4 == 0) std::fill(message.end() - sizeof(Mac), message.end(), 0);
  }
  return message;
}

TEST(Reflection, NoAnswerIsLongerThanWhatItAnswers) {
  const size_t count = soak_size<size_t>(20'000, 1'000'000);
  Pair pair;
  Node& victim = pair.higher;
  SeededRandom random(7);
  const MacKeys macs = MacKeys::of(victim.gate.identity().dh.public_key);
  uint64_t asked = 0, answered = 0, answers = 0;
  Bytes honest;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t now_ns = i * kMs;
    // Now and then one of the peer's own, and whenever nothing else is said that one again: a replay.
    if (i % 997 == 0) {
      pair.lower.handshake->stop();
      honest = pair.lower.initiate(now_ns);
    }
    const Bytes message = i % 5 == 0 ? honest : made_up(random, macs);
    std::array<uint8_t, 6> source;
    random.fill(source);
    const Bytes answer = answer_of(victim, message, source, now_ns);
    ASSERT_LE(answer.size(), message.size());
    asked += message.size();
    answered += answer.size();
    answers += !answer.empty();
  }
  std::cout << "figure: " << count << " handshake messages, " << answers << " answers, amplification "
            << static_cast<double>(answered) / static_cast<double>(asked) << "\n";
  EXPECT_GT(answers, count / 100) << "cookies and answers: else nothing was tried";
}

}  // namespace
}  // namespace sky::controlplane
