// Install batches from a control plane that means ill: any 64 bytes through the ring into agent, check and apply. What
// is acked, what stands afterwards and what a dump shows is what the naive model says.
#include <gtest/gtest.h>

#include "dataplane/agent/agent.h"
#include "dataplane/agent/values.h"
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
constexpr uint32_t kMostRows = 16;

/// Any value where the input wants one, else one that may well stand.
uint32_t index_of(Input& input) {
  const uint8_t small = input.byte();
  return small == 0xff ? input.number<uint32_t>() : small % 8;
}

/// Four routes to a slot.
uint32_t route_of(Input& input) {
  const uint32_t slot = index_of(input);
  return slot | input.byte() % 4u << 6;
}

InstallMessage put_of(Input& input) {
  const auto link = [&] { return static_cast<uint16_t>(index_of(input)); };
  switch (input.byte() % 8) {
    case 0:
      return InstallMessage::of(good_link(link()));
    case 1:
      return InstallMessage::of(good_session(index_of(input)));
    case 2: {
      const uint8_t kind = input.byte();
      const auto owner = KeyOwner{static_cast<uint8_t>(kind & 1)};
      const auto direction = Direction{static_cast<uint8_t>(kind >> 1 & 1)};
      const uint32_t index = index_of(input);
      return InstallMessage::of(good_chain(owner, direction, index, input.byte() % 16));
    }
    case 3: {
      const uint32_t route = route_of(input);
      const uint16_t in = link();
      return InstallMessage::of(good_forward(route, in, link()));
    }
    case 4: {
      const uint32_t route = route_of(input);
      const uint16_t in = link();
      return InstallMessage::of(good_consume(route, in, index_of(input)));
    }
    case 5:
      return InstallMessage::of(good_group(index_of(input)));
    case 6: {
      const uint32_t group = index_of(input);
      const auto slot = static_cast<uint8_t>(input.byte() % 9);
      const uint16_t in = link();
      return InstallMessage::of(good_member(group, slot, in, index_of(input)));
    }
    default: {
      const uint8_t last = input.byte() % 8;
      return InstallMessage::of(good_destination(last, GroupIndex{index_of(input)}));
    }
  }
}

InstallMessage delete_of(Input& input) {
  const auto verb = static_cast<Verb>(to_underlying(Verb::delete_link) + input.byte() % 6);
  if (verb == Verb::delete_destination)
    return InstallMessage::of(test::delete_of(good_destination(input.byte() % 8, kLocalGroup)));
  const uint32_t index = verb == Verb::delete_rule ? route_of(input) : index_of(input);
  return InstallMessage::of(test::delete_of(verb, index, input.byte() % 9));
}

/// Good ones with some of their bytes changed.
InstallMessage message_of(Input& input) {
  const uint8_t head = input.byte();
  InstallMessage message = (head & 1) == 0 ? put_of(input) : delete_of(input);
  for (unsigned changes = head >> 6; changes > 0; --changes) {
    const auto at = input.byte() % message.body.size();
    message.body[at] = input.byte();
  }
  return message;
}

/// What an agent must answer: docs/protocol.md, "Contract", without rings.
class Expected {
 public:
  Expected(Model& model, uint64_t fence) : model_(model), fence_(fence) {}

  std::vector<InstallMessage> answers;
  State after;  ///< what stands when all is done

  void take(const InstallMessage& message) {
    if (message.verb == Verb::begin) return begin(message.as<BeginMessage>());
    if (message.verb == Verb::commit) return commit(message.as<CommitMessage>());
    if (open_) return batch_.push_back(message);
    if (message.verb == Verb::dump) return dump(message.as<DumpMessage>());
    if (message.verb == Verb::watch) return;  // told by records
    ack(InstallError::no_batch, 0, generation_);
  }
  uint64_t generation() const { return generation_; }
  uint32_t count() const { return static_cast<uint32_t>(batch_.size()); }

 private:
  void begin(const BeginMessage& begin) {
    if (open_) ack(InstallError::count_mismatch, count(), generation_);
    batch_.clear();
    open_ = true;
    spoilt_ = begin.boot_id != kBootId          ? InstallError::wrong_boot_id
              : begin.fence != fence_           ? InstallError::wrong_fence
              : begin.generation <= generation_ ? InstallError::bad_value
                                                : InstallError::none;
    generation_ = begin.generation;
  }
  void commit(const CommitMessage& commit) {
    if (!std::exchange(open_, false)) return ack(InstallError::no_batch, 0, commit.generation);
    if (spoilt_ == InstallError::none && (commit.count != count() || commit.generation != generation_))
      spoilt_ = InstallError::count_mismatch;
    const auto refusal = spoilt_ != InstallError::none ? Refusal{0, spoilt_} : naive_refusal(batch_, model_);
    if (!refusal) after = naive_result(batch_, std::move(after));
    ack(refusal ? refusal->error : InstallError::none, refusal ? refusal->index : 0, generation_);
    batch_.clear();
  }
  void dump(const DumpMessage& dump) {
    uint32_t from = dump.from, rows = 0;
    bool more = true;
    for (InstallMessage row; more && rows < dump.most; ++rows) {
      const auto next = model_.dump(dump.table, from, row);
      more = next.has_value();
      if (!more) break;
      answers.push_back(row);
      from = *next;
    }
    answers.push_back(InstallMessage::of(DumpEndMessage{.table = dump.table, .rows = rows, .next = more ? from : 0}));
  }
  void ack(InstallError error, uint32_t index, uint64_t generation) {
    answers.push_back(InstallMessage::of(AckMessage{.error = error, .index = index, .generation = generation}));
  }

  Model& model_;
  uint64_t fence_;
  std::vector<InstallMessage> batch_;
  bool open_ = false;
  InstallError spoilt_ = InstallError::none;
  uint64_t generation_ = 0;
};

/// The socket and the counters outlive an input; control plane, agent and tables do not.
class Site {
 public:
  Site() { endpoint_ = std::move(*Endpoint::open(path_, kBootId, counters_)); }

  void run(Input input) {
    Model model(kSizes);
    Agent agent(*endpoint_, kBootId, Stats(counters_.data(), layout_), model, model, model, channels_,
                {.link_state = {}, .dead_routes = {}, .retire = [](std::function<void()> free) { free(); }});
    {
      Client client(path_);
      for (int turns = 0; turns < 3; ++turns) turn(agent);
      const auto reply = client.reply();
      ASSERT_TRUE(reply.has_value());
      Expected expected(model, reply->fence);
      for (int steps = 0; !input.empty() && steps < 300; ++steps) {
        step(input, client, expected, agent);
        compare(client, expected, model);
      }
    }
    turn(agent);
    EXPECT_EQ(nullptr, endpoint_->owner());
  }

 private:
  void turn(Agent& agent) {
    agent.turn(++now_ns_);
    agent.report(events_);
  }

  /// One message, or a whole batch.
  void step(Input& input, Client& client, Expected& expected, Agent& agent) {
    const auto send = [&](const auto& message) { say(InstallMessage::of(message), client, expected, agent); };
    const auto begin = [&] {
      send(BeginMessage{
          .generation = expected.generation() + 1, .boot_id = kBootId, .fence = endpoint_->owner()->fence()});
    };
    const auto commit = [&] { send(CommitMessage{.count = expected.count(), .generation = expected.generation()}); };
    switch (input.byte() % 8) {
      case 0:
        return begin();
      case 1:
        return commit();
      case 2: {
        const auto table = Table{input.byte()};
        return send(DumpMessage{.table = table, .from = index_of(input), .most = kMostRows});
      }
      case 3: {
        const auto message = input.plain<InstallMessage>();
        // A dump may ask for as many rows as it likes, and the model's never end.
        if (message.verb != Verb::dump) say(message, client, expected, agent);
        return;
      }
      case 4:
        return say(message_of(input), client, expected, agent);
      default:
        begin();
        for (unsigned messages = 1 + input.byte() % 6u; messages > 0; --messages)
          say(message_of(input), client, expected, agent);
        return commit();
    }
  }

  /// The agent's turn comes after each, so that the model sees each batch as it is decided.
  void say(const InstallMessage& message, Client& client, Expected& expected, Agent& agent) {
    expected.take(message);
    ASSERT_TRUE(client.install.push(message));
    turn(agent);
  }

  void compare(Client& client, Expected& expected, const Model& model) {
    InstallMessage answer;
    for (const InstallMessage& wanted : std::exchange(expected.answers, {})) {
      ASSERT_TRUE(client.acks.pop(answer)) << "no answer";
      EXPECT_EQ(wanted.verb, answer.verb);
      EXPECT_EQ(wanted.body, answer.body);
    }
    EXPECT_FALSE(client.acks.pop(answer)) << "an answer nobody asked for";
    for (SeenPacket record; client.seen.pop(record);) {
      EXPECT_EQ(1, record.last);
      const auto reason = record.error;
      EXPECT_TRUE(reason == InstallError::none || reason == InstallError::bad_value ||
                  reason == InstallError::bad_index);
    }
    expect_watch();
    EXPECT_TRUE(same(expected.after, model.state));
    EXPECT_TRUE(model.state.whole());
  }

  /// What workers are given to look for is possible.
  void expect_watch() const {
    const Watch* watch = channel_.watch.load();
    if (watch == nullptr) return;
    EXPECT_EQ(InstallError::none, check_watch(watch->ask, kSizes));
    EXPECT_NE(0u, watch->ask.count);
  }

  WorkerChannel channel_;
  std::array<WorkerChannel*, 1> channels_{&channel_};
  ScratchDirectory directory_;
  std::string path_ = directory_.path + "/dataplane.sock";
  StatsLayout layout_ = StatsLayout::of(1, kSizes.ports, kSizes.links, kSizes.groups);
  SharedPages counters_ = std::move(*SharedPages::create("fuzz-counters", layout_.bytes, true));
  std::unique_ptr<Endpoint> endpoint_;
  std::vector<InstallMessage> events_;
  uint64_t now_ns_ = 0;
};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sky::fuzz::Site site;
  site.run({data, size});
  return 0;
}
