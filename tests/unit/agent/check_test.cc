// Batches against a naive model: refused whole with the same index and reason, or applied whole.
#include "dataplane/agent/check.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>

#include "dataplane/agent/apply.h"
#include "tests/unit/agent/messages.h"
#include "tests/unit/agent/model.h"
#include "tests/unit/agent/random_batches.h"

namespace sky::dataplane::test {
namespace {

constexpr Capacities kSmall{.ports = 2, .links = 5, .sessions = 4, .rules = 16, .groups = 4, .destinations = 6};

class Tried {
 public:
  explicit Tried(const Capacities& sizes = kSmall) : model(sizes), references(sizes) {}

  template <typename... Message>
  std::optional<Refusal> batch(const Message&... messages) {
    return batch(std::vector<InstallMessage>{InstallMessage::of(messages)...});
  }
  std::optional<Refusal> batch(const std::vector<InstallMessage>& messages) {
    const auto plan = check(messages, model, references);
    if (!plan) return plan.error();
    const auto applied = apply(messages, *plan, model, model, references);
    return applied ? std::nullopt : std::optional(applied.error());
  }

  Model model;
  References references;
};

TEST(Check, AgreesWithTheNaiveModelOnRandomBatches) {
  std::map<InstallError, unsigned> reasons;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    Tried tried;
    RandomBatches random(seed);
    for (unsigned round = 0; round < 400; ++round) {
      const auto messages = random.batch();
      const State before = tried.model.state;
      const auto wanted = naive_refusal(messages, tried.model);
      const auto found = tried.batch(messages);
      ++reasons[found ? found->error : InstallError::none];
      ASSERT_EQ(found.has_value(), wanted.has_value()) << "seed " << seed << " round " << round;
      if (wanted) {
        ASSERT_EQ(found->index, wanted->index) << "seed " << seed << " round " << round;
        ASSERT_EQ(to_underlying(found->error), to_underlying(wanted->error)) << "seed " << seed << " round " << round;
      }
      const State after = wanted ? before : naive_result(messages, before);
      ASSERT_TRUE(same(tried.model.state, after)) << "seed " << seed << " round " << round;
      ASSERT_TRUE(tried.model.state.whole());
    }
  }
  // The draw is worth something only while it reaches every answer.
  for (const InstallError error :
       {InstallError::none, InstallError::unknown_verb, InstallError::bad_value, InstallError::missing_dependency,
        InstallError::still_used, InstallError::key_seen_before, InstallError::occupied, InstallError::not_found,
        InstallError::table_full}) {
    EXPECT_GT(reasons[error], 5u) << "reason " << unsigned{to_underlying(error)};
  }
}

TEST(Check, TakesABatchInAnyOrder) {
  Tried tried;
  EXPECT_EQ(
      tried.batch(good_destination(1, GroupIndex{2}), good_member(2, 0, 1, 3), good_group(2), good_consume(0x105, 1, 3),
                  good_session(3), good_chain(KeyOwner::link, Direction::send, 1, 1), good_link(1)),
      std::nullopt);
  EXPECT_EQ(tried.model.state.destinations.size(), 1u);
  // And all of it away again, in the order it came.
  EXPECT_EQ(tried.batch(delete_of(Verb::delete_link, 1), delete_of(Verb::delete_session, 3),
                        delete_of(Verb::delete_group, 2), delete_of(Verb::delete_member, 2),
                        delete_of(Verb::delete_rule, 0x105), delete_of(good_destination(1, GroupIndex{2}))),
            std::nullopt);
  EXPECT_TRUE(tried.model.state.links.empty());
  EXPECT_TRUE(tried.model.state.groups.empty());
}

TEST(Check, NamesTheMessageThatStillUses) {
  Tried tried;
  ASSERT_EQ(tried.batch(good_link(0), good_link(1), good_session(0), good_group(0), good_member(0, 0, 0, 0)),
            std::nullopt);
  EXPECT_EQ(tried.batch(good_link(2), delete_of(Verb::delete_link, 0)), (Refusal{1, InstallError::still_used}));
  EXPECT_EQ(tried.batch(delete_of(Verb::delete_session, 0)), (Refusal{0, InstallError::still_used}));
  // A put that takes another link instead lets go of the first.
  EXPECT_EQ(tried.batch(delete_of(Verb::delete_link, 0), good_member(0, 0, 1, 0)), std::nullopt);
  EXPECT_EQ(tried.batch(delete_of(Verb::delete_link, 1)), (Refusal{0, InstallError::still_used}));
}

TEST(Check, RefusesAnotherRouteInTheSameSlot) {
  Tried tried;
  ASSERT_EQ(tried.batch(good_link(0), good_forward(0x101, 0, 0)), std::nullopt);
  EXPECT_EQ(tried.batch(good_forward(0x201, 0, 0)), (Refusal{0, InstallError::occupied}));
  // A slot that is freed in the same batch rests all the same.
  EXPECT_EQ(tried.batch(delete_of(Verb::delete_rule, 0x101), good_forward(0x201, 0, 0)),
            (Refusal{1, InstallError::occupied}));
  EXPECT_EQ(tried.batch(good_forward(0x101, 0, 0)), std::nullopt) << "the same ID is put again";
}

TEST(Check, TellsTheMapsWantOfRoomBeforeAnythingHappens) {
  Tried tried;
  tried.model.room = 1;
  EXPECT_EQ(
      tried.batch(good_link(0), good_group(0), good_destination(1, GroupIndex{0}), good_destination(2, GroupIndex{0})),
      (Refusal{3, InstallError::table_full}));
  EXPECT_TRUE(tried.model.state.links.empty());
  EXPECT_TRUE(tried.model.state.destinations.empty());
  EXPECT_EQ(tried.model.finishes, 0u);
}

TEST(Check, TakesTheLargestBatchInMilliseconds) {
  const Capacities large{
      .ports = 1, .links = 65'535, .sessions = 16, .rules = 1 << 20, .groups = 16, .destinations = 16};
  Model model(large);
  for (uint32_t link = 0; link < 64; ++link) model.state.links.insert(link);
  std::vector<InstallMessage> messages;
  for (uint32_t i = 0; i < kMaxBatch; ++i) {
    messages.push_back(InstallMessage::of(good_forward(i + 1, i % 64, (i + 1) % 64)));
  }
  const References references(large);
  const auto start = std::chrono::steady_clock::now();
  const auto plan = check(messages, model, references);
  const auto took = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->of(Verb::put_rule).size(), kMaxBatch);
  RecordProperty("ms", static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  // Far from the real cost, near enough to notice a walk through a table per message.
  EXPECT_LT(took, std::chrono::seconds(2));
}

}  // namespace
}  // namespace sky::dataplane::test
