// Stages are timed in one turn of kTurnsPerTimed: what came into each then, and that it took some time.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

class StageClock : public Crossroads {
 protected:
  const StageStats& of(Stage stage) { return node.worker().context().stats.stages[static_cast<size_t>(stage)]; }
};

TEST_F(StageClock, CountsWhatComesIntoEachStageOfATimedTurn) {
  constexpr unsigned kTimed = 3;
  node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
  const auto sum_of = [](const StageStats& stage) { return std::array{stage.calls.get(), stage.packets.get()}; };
  std::array<std::array<uint64_t, 2>, kStages> before;
  for (size_t i = 0; i < kStages; ++i) before[i] = sum_of(of(static_cast<Stage>(i)));
  const uint64_t clocks = of(Stage::open).clocks.get();

  for (unsigned turn = 0; turn < kTimed * kTurnsPerTimed; ++turn) {
    Bytes forged = left.seal(packet(17, kRoute, pattern(50)));
    forged.back() ^= 1;
    node.exchange(
        0, {left.seal(packet(17, kRoute, pattern(50))), Bytes(60), left.seal(packet(17, kRoute, pattern(50))), forged});
  }

  const auto grew = [&](Stage stage) {
    const auto now = sum_of(of(stage)), then = before[static_cast<size_t>(stage)];
    return std::array{now[0] - then[0], now[1] - then[1]};
  };
  for (const Stage all : {Stage::receive, Stage::classify})
    EXPECT_EQ((std::array<uint64_t, 2>{kTimed, 4 * kTimed}), grew(all)) << static_cast<int>(all);
  EXPECT_EQ((std::array<uint64_t, 2>{kTimed, 3 * kTimed}), grew(Stage::open));
  for (const Stage good : {Stage::route, Stage::seal, Stage::transmit})
    EXPECT_EQ((std::array<uint64_t, 2>{kTimed, 2 * kTimed}), grew(good)) << static_cast<int>(good);
  for (const Stage none : {Stage::egress, Stage::ingress, Stage::take_over, Stage::hold})
    EXPECT_EQ((std::array<uint64_t, 2>{0, 0}), grew(none)) << static_cast<int>(none);
  EXPECT_GT(of(Stage::open).clocks.get(), clocks);
}

TEST_F(StageClock, CountsNoiseThatGoesNoFurther) {
  const uint64_t packets = of(Stage::classify).packets.get(), clocks = of(Stage::classify).clocks.get();
  const uint64_t opened = of(Stage::open).packets.get();
  for (unsigned turn = 0; turn < kTurnsPerTimed; ++turn) node.exchange(0, {Bytes(60), Bytes(60)});
  EXPECT_EQ(packets + 2, of(Stage::classify).packets.get());
  EXPECT_GT(of(Stage::classify).clocks.get(), clocks);
  EXPECT_EQ(opened, of(Stage::open).packets.get());
}

}  // namespace
}  // namespace sky::test
