// Two whole dataplanes, each on a core of its own as far as the clock knows: it goes on by what the slower of their
// turns took of the CPU. So what a router is slow at is paid for in packets, and what the machine does beside is not.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <deque>
#include <random>

#include "perf/loop/cases.h"
#include "tests/support/installs.h"
#include "tests/support/node.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr unsigned kWays = 2;
constexpr uint64_t kRate = 500'000;  // packets a second
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kIntervalNs = kMs;  // of liveness, times three
constexpr uint64_t kSlackNs = kMs / 2;
constexpr uint64_t kWireNs = 10'000;
constexpr uint64_t kApartNs = kMs;      // copies: the second wire is longer by it
constexpr uint64_t kLeastTurnNs = 200;  // what an idle turn of both takes
constexpr uint64_t kMostWaiting = 128;  // packets that a socket pair is sure to hold
constexpr unsigned kTurnsPerMain = 64;  // the main cores turn more rarely
constexpr uint32_t kDomain = 64500, kGroup = 7, kSession = 5;
constexpr uint32_t kThere = 0x100, kBack = 0x200;  // route IDs of way 0, each end's own
constexpr uint16_t kCopyStream = 64;
constexpr uint8_t kCopyWindow = 14;  // twice what is under way when copies are 1 ms apart

/// One end: a node whose port w is the end of way w, and what the other end sees of it.
struct End {
  Node node{NodeConfig{
      .ports = kWays,
      .ring_frames = 1024,
      .capacities = {.ports = kWays, .links = 8, .sessions = 8, .rules = 1 << 12, .groups = 16, .destinations = 64}}};
  std::vector<LinkPeer> peers;
  SessionPeer far{kSession, 55};
  struct Flying {
    uint64_t due_ns;
    Bytes frame;
  };
  std::array<std::deque<Flying>, kWays> towards;  ///< on the wires to it
  std::array<bool, kWays> cut{};                  ///< which of them
};

uint64_t cpu_ns() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

class Cut {
 public:
  explicit Cut(Fault fault);

  struct Found {
    uint64_t sent = 0, lost = 0, duplicated = 0, reordered = 0;
  };
  /// `phase_ns`: how long after a round moment the way is cut.
  Result<Found> run(uint64_t phase_ns);

 private:
  void install_links();
  void install_circuits();
  void step();
  void step_until(uint64_t ns, bool sending);
  void send_due();
  void carry(End& from, End& to);
  void receive();

  Fault fault_;
  End from_, to_;
  uint64_t now_ns_ = 0, next_send_ns_ = 0;
  unsigned turns_ = 0;
  std::vector<bool> seen_;  ///< [number]
  uint64_t newest_ = 0;     ///< of those that came, and one
  Found found_;
};

Cut::Cut(Fault fault) : fault_(fault) {
  install_links();
  install_circuits();
  now_ns_ = from_.node.now_ns();
}

void Cut::install_links() {
  for (uint16_t way = 0; way < kWays; ++way) {
    const auto index = static_cast<uint16_t>(way + 1);
    from_.peers.emplace_back(index, index, 20u + way);
    LinkPeer& back = to_.peers.emplace_back(from_.peers.back());
    std::swap(back.towards_secret, back.from_secret);
  }
  std::swap(to_.far.towards_secret, to_.far.from_secret);
  for (End* end : {&from_, &to_}) {
    End& other = end == &from_ ? to_ : from_;
    for (unsigned way = 0; way < kWays; ++way) {
      end->peers[way].mac = other.node.port(way).port().mac();
      auto installs = link_installs(end->peers[way], way);
      auto link = installs[0].as<LinkMessage>();
      link.interval_us = kIntervalNs / 1'000;
      installs[0] = message(link);
      end->node.install(installs);
    }
    end->node.install(session_installs(end->far, kDomain));
  }
}

/// Copies go by a circuit of each way; else the second way is the alternate of the only circuit.
void Cut::install_circuits() {
  const bool copies = fault_ == Fault::copy;
  GroupMessage group = group_put(kGroup, kDomain);
  if (copies) {
    group.mode = GroupMode::copy;
    group.copy_rate = 2 * kRate;
  }
  std::vector<InstallMessage> there{message(destination_put("fd00:f::", 32, GroupIndex{kGroup})), message(group)};
  std::vector<InstallMessage> here{message(group_put(kGroup, kDomain)),
                                   message(destination_put("fd00:1::", 32, GroupIndex{kGroup})),
                                   message(destination_put("fd00:f::", 32, kLocalGroup))};
  const uint16_t copied = copies ? copied_word({.stream = kCopyStream, .window = kCopyWindow}) : 0;
  for (uint8_t way = 0; way < kWays; ++way) {
    const uint16_t link = from_.peers[way].link;
    const auto stream = static_cast<uint16_t>(copies ? 16 * way : 0);
    there.push_back(message(consume_put(kBack + way, link, kSession, 0, 1, kThere + way)));
    RuleMessage consume = consume_put(kThere + way, link, kSession, stream, 1, kBack + way);
    consume.copied = copied;
    here.push_back(message(consume));
    if (way == 1 && !copies) break;
    MemberMessage member = member_put(kGroup, way, link, kThere + way, kBack + way, kSession, stream, way == 0 ? 1 : 0);
    member.copied = copied;
    if (!copies) {
      member.alternate_link = LinkIndex{from_.peers[1].link};
      member.alternate_route = RouteId{kThere + 1};
      member.alternate_consume = RouteId{kBack + 1};
    }
    there.push_back(message(member));
  }
  from_.node.install(there);
  to_.node.install(here);
}

void Cut::carry(End& from, End& to) {
  for (unsigned way = 0; way < kWays; ++way) {
    auto& wire = to.towards[way];
    const uint64_t due_ns = now_ns_ + kWireNs + (fault_ == Fault::copy ? way * kApartNs : 0);
    while (auto frame = from.node.port(way).pop()) {
      if (!to.cut[way]) wire.push_back({due_ns, std::move(*frame)});
    }
    if (to.cut[way]) wire.clear();  // what was under way too
    for (; !wire.empty() && wire.front().due_ns <= now_ns_; wire.pop_front())
      to.node.port(way).push(wire.front().frame);
  }
}

void Cut::step() {
  const bool main = ++turns_ % kTurnsPerMain == 0;
  uint64_t slower_ns = kLeastTurnNs;
  for (End* end : {&from_, &to_}) {
    end->node.pass(std::max(now_ns_, end->node.now_ns()) - end->node.now_ns());
    if (main) end->node.main_turn();
    const uint64_t start_ns = cpu_ns();
    end->node.worker_turn();
    slower_ns = std::max(slower_ns, cpu_ns() - start_ns);
  }
  now_ns_ += slower_ns;
  carry(from_, to_);
  carry(to_, from_);
  receive();
}

void Cut::step_until(uint64_t ns, bool sending) {
  while (now_ns_ < ns) {
    if (sending) send_due();
    step();
  }
}

/// What has come due by the schedule; what finds no room waits, and its time does not.
void Cut::send_due() {
  const auto read = static_cast<uint64_t>(from_.node.total().injected_tun);
  while (next_send_ns_ <= now_ns_ && found_.sent < read + kMostWaiting) {
    Bytes packet = ipv6({.source = "fd00:1::1", .destination = "fd00:f::1", .payload = 16});
    for (unsigned i = 0; i < 8; ++i) packet[packet.size() - 1 - i] = static_cast<uint8_t>(found_.sent >> 8 * i);
    from_.node.tun_write(packet);
    ++found_.sent;
    next_send_ns_ += 1'000'000'000 / kRate;
  }
}

void Cut::receive() {
  for (const Bytes& packet : to_.node.tun_read()) {
    const uint64_t number = get(packet, packet.size() - 8, 8);
    if (seen_.size() <= number) seen_.resize(number + 1);
    found_.duplicated += seen_[number];
    found_.reordered += !seen_[number] && number < newest_;
    seen_[number] = true;
    newest_ = std::max(newest_, number + 1);
  }
}

Result<Cut::Found> Cut::run(uint64_t phase_ns) {
  const auto usable = [](End& end) {
    return std::ranges::all_of(end.peers,
                               [&end](LinkPeer& peer) { return end.node.tables->links.find(peer.link)->usable(); });
  };
  step_until(now_ns_ + 10 * kMs, false);
  if (!usable(from_) || !usable(to_)) return fail("failover: found a link not up after 10 intervals");
  next_send_ns_ = now_ns_;
  step_until(now_ns_ + 2 * kMs + phase_ns, true);
  to_.cut[0] = true;
  from_.cut[0] = fault_ != Fault::cut;
  step_until(now_ns_ + 8 * kMs, true);
  step_until(now_ns_ + 4 * kMs, false);
  if (from_.node.tables->links.find(from_.peers[0].link)->usable())
    return fail("failover: found the cut link still up");
  found_.lost = found_.sent - static_cast<uint64_t>(std::ranges::count(seen_, true));
  return found_;
}

Result<> cut_again_and_again(Fault fault, Outcome& outcome, unsigned runs, const Progress& progress) {
  std::mt19937 random(1);
  Cut::Found all;
  for (unsigned run = 1; run <= runs; ++run) {
    const auto found = Cut(fault).run(random() % kIntervalNs);
    if (!found) return std::unexpected(found.error());
    all.sent += found->sent;
    all.lost += found->lost;
    all.duplicated += found->duplicated;
    all.reordered += found->reordered;
    const uint64_t wrong = fault == Fault::copy ? found->lost + found->duplicated : found->lost;
    outcome.runs.push_back(static_cast<double>(wrong));
    progress(run);
  }
  constexpr uint64_t kMostNs = 3 * kIntervalNs + kSlackNs;
  outcome.limit_runs = {fault == Fault::copy ? 0.0 : static_cast<double>(kMostNs * kRate) / 1e9};
  summarize(outcome);
  outcome.value = std::ranges::max(outcome.runs);  // the bar holds for each
  outcome.saturated = false;
  outcome.more = {{"sent", all.sent},           {"lost", all.lost}, {"duplicated", all.duplicated},
                  {"reordered", all.reordered}, {"rate", kRate},    {"interval_us", kIntervalNs / 1'000}};
  return {};
}

}  // namespace

Case failover_case(Fault fault) {
  constexpr const char* kNames[] = {"cut", "silent", "copy"};
  return Case{.name = std::string("failover/") + kNames[to_underlying(fault)],
              .unit = kPackets,
              .limit_is = fault == Fault::copy ? "none lost, none twice" : "3.5 ms of packets",
              .chunks = 1,
              .value = {},
              .limit = {},
              .whole = [fault](Outcome& outcome, unsigned runs, const Progress& progress) {
                return cut_again_and_again(fault, outcome, runs, progress);
              }};
}

}  // namespace sky::perf
