#include "dataplane/worker.h"

#include <sodium.h>

#include <algorithm>
#include <ctime>

#include "dataplane/stages/classify.h"
#include "dataplane/stages/egress.h"
#include "dataplane/stages/hand_over.h"
#include "dataplane/stages/hold.h"
#include "dataplane/stages/ingress.h"
#include "dataplane/stages/inject.h"
#include "dataplane/stages/observe.h"
#include "dataplane/stages/open.h"
#include "dataplane/stages/route.h"
#include "dataplane/stages/seal.h"
#include "dataplane/stages/settle.h"
#include "dataplane/stages/timers.h"
#include "dataplane/stages/transmit.h"

namespace sky::dataplane {

namespace {

constexpr uint64_t kNapNs = 100'000;              // between polls of inputs that cannot wake
constexpr uint64_t kPollBeforeNapNs = 1'000'000;  // turns without traffic before the first nap
constexpr uint64_t kPollBeforeBlockNs = 20'000;   // the same where a frame wakes us
constexpr uint64_t kTunGapNs = 10'000;            // an empty read is a system call: not every turn
constexpr size_t kManyLinks = 256;           // from here on their lines are prefetched; measured at 64 and 4,096 alone
constexpr uint64_t kHoldPollNs = 1'000'000;  // while packets wait for a circuit

uint64_t monotonic_ns() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(const WorkerConfig& config, Tables& tables, Quiescence& quiescence,
                                               std::unique_ptr<AeadEngine> aead,
                                               std::span<WorkerChannel* const> channels) {
  auto waiter = drivers::Waiter::create();
  if (!waiter) return std::unexpected(waiter.error());
  std::unique_ptr<Worker> worker(new Worker(config, tables, quiescence, std::move(aead), channels, std::move(*waiter)));
  if (auto watched = worker->watch_inputs(config); !watched) return std::unexpected(watched.error());
  return worker;
}

Worker::Worker(const WorkerConfig& config, Tables& tables, Quiescence& quiescence, std::unique_ptr<AeadEngine> aead,
               std::span<WorkerChannel* const> channels, drivers::Waiter waiter)
    : aead_(std::move(aead)),
      context_{.tables = tables,
               .stats = tables.stats.worker(config.number),
               .port_stats = tables.stats.ports(config.number),
               .link_stats = tables.stats.links(config.number),
               .member_stats = tables.stats.members(config.number),
               .aead = *aead_,
               .channel = *channels[config.number],
               .channels = {channels.begin(), channels.end()},
               .ports = config.ports,
               .ether_types = {},
               .tun = config.tun,
               .number = config.number,
               .flow_key = random_flow_key(),
               .held = {},
               .outputs = std::vector<PortOutput>(config.ports.size()),
               .handshakes = HandshakeRations(config.ports.size(), randombytes_random()),
               .damage = DamageWatch(tables.config().capacities.rules),
               .ops = {},
               .hash_ops = {},
               .hashed = {},
               .op_slots = {},
               .op_associated = {}},
      quiescence_(quiescence),
      waiter_(std::move(waiter)),
      adaptive_(config.adaptive) {
  for (const uint16_t type : config.ether_types) context_.ether_types.push_back(Be16(type));
  context_.held.reserve(kMaxHeldGroups);
}

Worker::~Worker() {
  HandedPacket packet;
  for (const auto& from : context_.channel.handed) {
    while (from->consumer.pop(packet)) rte_pktmbuf_free(packet.mbuf);
  }
  for (HeldPackets& waiting : context_.held) rte_pktmbuf_free_bulk(waiting.packets.data(), waiting.count);
  for (PortOutput& output : context_.outputs) {
    for (unsigned level = 0; level < kQueues; ++level)
      rte_pktmbuf_free_bulk(output.frames[level].data(), output.count[level]);
  }
}

Result<> Worker::watch_inputs(const WorkerConfig& config) {
  for (size_t i = 0; i < config.ports.size(); ++i) {
    const PortIndex index{static_cast<uint16_t>(i)};
    if (!context_.tables.polls.polls(index, config.number)) continue;
    const auto descriptors = config.ports[i]->wait_descriptors(queue_of(index));
    if (descriptors.empty()) all_inputs_wake_ = false;
    for (const int descriptor : descriptors) {
      if (auto added = waiter_.add(descriptor); !added) return added;
    }
  }
  if (config.tun != nullptr && config.number == 0) {
    if (auto added = waiter_.add(config.tun->descriptor()); !added) return added;
  }
  if (context_.channel.wake_worker >= 0) return waiter_.add(context_.channel.wake_worker);
  return {};
}

void Worker::run(const std::atomic<bool>& stop) noexcept {
  context_.clock = monotonic_ns;
  quiescence_.online(context_.number);
  while (!stop.load(std::memory_order_relaxed)) {
    const uint64_t now_ns = monotonic_ns();
    const bool busy = turn(now_ns);
    quiescence_.quiescent(context_.number);
    context_.stats.heartbeat_ns.set(now_ns);
    if (busy) {
      context_.stats.busy_ns.add(monotonic_ns() - now_ns);
    } else if (adaptive_) {
      sleep();
    }
  }
  quiescence_.offline(context_.number);
}

bool Worker::turn(uint64_t now_ns) noexcept {
  context_.now_ns = now_ns;
  context_.watch = context_.channel.watch.load(std::memory_order_acquire);
  context_.worked = false;
  context_.stage_clock.begin_turn();
  bool busy = false;
  // Each port is the first in its turn: what fills a queue is not always the same neighbour's.
  const size_t ports = context_.ports.size();
  const auto after = [ports](size_t port) { return port + 1 == ports ? 0 : port + 1; };
  for (size_t i = 0, port = first_port_; i < ports; ++i, port = after(port))
    busy |= poll_port(PortIndex{static_cast<uint16_t>(port)});
  first_port_ = after(first_port_);
  busy |= poll_others();
  if (!context_.held.empty()) release();  // before what comes behind them
  if (context_.number == 0 && context_.tun != nullptr && now_ns >= next_tun_poll_ns_) busy |= poll_tun();
  busy |= inject(context_, batch_);
  send(batch_);
  const uint64_t timed_version = context_.tables.timed.version.load(std::memory_order_acquire);
  context_.many_links = context_.tables.timed.links.load(std::memory_order_relaxed) > kManyLinks;
  if (timed_version != timed_version_ || context_.timers_due) {
    context_.timers_due = false;
    timed_version_ = timed_version;
    restart_timers(context_);
    next_timer_ns_ = 0;
  }
  if (now_ns >= next_timer_ns_) busy |= keep_time();
  flush();
  wake_others(context_);
  context_.count(Counter::loops);
  if (context_.worked) worked_ns_ = now_ns;
  if (context_.wake_main) {
    context_.wake_main = false;
    drivers::signal_event(context_.channel.wake_main);
  }
  return busy;
}

/// True when a timer sent something.
bool Worker::keep_time() noexcept {
  const uint64_t start_ns = context_.clock == nullptr ? 0 : context_.clock();
  next_timer_ns_ = run_timers(context_, batch_);
  const unsigned packets = batch_.count;
  send(batch_);
  const uint64_t cost_ns = context_.clock == nullptr ? 0 : context_.clock() - start_ns;
  context_.timer_budget.spent(context_.now_ns, packets, cost_ns);
  context_.stats.timer_stretch.set(context_.timer_budget.stretch());
  return packets != 0;
}

uint16_t Worker::queue_of(PortIndex port) const noexcept {
  return context_.tables.polls.of(port).by_lane ? static_cast<uint16_t>(context_.number) : 0;
}

bool Worker::poll_port(PortIndex index) noexcept {
  if (!context_.tables.polls.polls(index, context_.number)) return false;
  drivers::Port& port = *context_.ports[to_underlying(index)];
  std::array<rte_mbuf*, kBurst> frames;
  context_.stage_clock.start();
  const uint16_t n = port.rx_burst(queue_of(index), frames.data(), kBurst);
  if (n < kBurst) context_.tables.polls.emptied(index, context_.number, context_.now_ns);
  if (n == 0) return false;
  context_.stage_clock.lap(context_.stats, Stage::receive, n);
  PortStats& stats = context_.stats_of(index);
  context_.count(Counter::received, n);
  stats.received.add(n);
  stats.received_bytes.add(classify(context_, index, {frames.data(), n}, batch_));
  settle(context_, batch_, Stage::classify, n);
  if (batch_.count == 0) return true;
  open(context_, batch_);
  settle(context_, batch_, Stage::open);
  process_opened(batch_);
  return true;
}

bool Worker::poll_others() noexcept {
  context_.stage_clock.start();
  take_over(context_, batch_);
  if (batch_.count == 0) return false;
  settle(context_, batch_, Stage::take_over);
  process_opened(batch_);
  return true;
}

void Worker::process_opened(Batch& batch) noexcept {
  route(context_, batch);
  settle(context_, batch, Stage::route, &egress_);
  egress(context_, egress_);
  settle(context_, egress_, Stage::egress);
  send(batch);
}

bool Worker::poll_tun() noexcept {
  while (!batch_.full()) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(context_.ports[0]->pool());
    if (mbuf == nullptr) break;
    auto* data = rte_pktmbuf_mtod_offset(mbuf, uint8_t*, sizeof(EthernetHeader) + kDatagramOverhead);
    const size_t room = rte_pktmbuf_tailroom(mbuf) - sizeof(EthernetHeader) - kDatagramOverhead;
    const size_t bytes = context_.tun->read({data, room});
    if (bytes == 0) {
      rte_pktmbuf_free(mbuf);
      break;
    }
    Slot& slot = batch_.add();
    slot = {};
    slot.mbuf = mbuf;
    slot.data = data;
    slot.length = static_cast<uint16_t>(bytes);
  }
  if (!batch_.full()) next_tun_poll_ns_ = context_.now_ns + kTunGapNs;
  if (batch_.count == 0) return false;
  context_.count(Counter::injected_tun, batch_.count);
  process_plain(batch_);
  return true;
}

void Worker::process_plain(Batch& batch) noexcept {
  context_.stage_clock.start();
  ingress(context_, batch, copies_);
  settle(context_, batch, Stage::ingress);
  send(batch);
  send(copies_);
}

void Worker::release() noexcept {
  // Backwards: what ingress() holds again comes behind and waits for the next turn.
  for (size_t at = context_.held.size(); at-- > 0;) {
    if (!dataplane::release(context_, context_.held[at], batch_)) continue;
    context_.held.erase(context_.held.begin() + static_cast<ptrdiff_t>(at));
    process_plain(batch_);
  }
}

void Worker::send(Batch& batch) noexcept {
  if (batch.count == 0) return;
  context_.stage_clock.start();
  if (context_.watch != nullptr) [[unlikely]]
    observe_made(context_, batch);
  seal(context_, batch);
  settle(context_, batch, Stage::seal);
  transmit(context_, batch);
}

void Worker::flush() noexcept {
  context_.stage_clock.start();
  dataplane::flush(context_);
  context_.stage_clock.lap(context_.stats, Stage::transmit, 0);
}

void Worker::sleep() noexcept {
  const uint64_t now_ns = context_.now_ns;
  if (now_ns - worked_ns_ < (all_inputs_wake_ ? kPollBeforeBlockNs : kPollBeforeNapNs)) return;
  uint64_t wake_ns = next_timer_ns_;
  if (!all_inputs_wake_) wake_ns = std::min(wake_ns, now_ns + kNapNs);
  if (!context_.held.empty()) wake_ns = std::min(wake_ns, now_ns + kHoldPollNs);
  if (any_waiting(context_)) wake_ns = std::min(wake_ns, now_ns + kNapNs);
  quiescence_.offline(context_.number);
  drivers::clear_event(context_.channel.wake_worker);
  context_.channel.asleep.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // see wake_others
  if (!has_packets() && wake_ns > now_ns) {
    context_.count(Counter::sleeps);
    if (all_inputs_wake_) tell_polls(PortPolls::kAsleep);
    waiter_.wait(wake_ns - now_ns);
    if (all_inputs_wake_) tell_polls(now_ns);
  }
  context_.channel.asleep.store(false, std::memory_order_relaxed);
  next_tun_poll_ns_ = 0;
  quiescence_.online(context_.number);
}

/// From the main core or another worker.
bool Worker::has_packets() noexcept {
  if (context_.channel.down.consumer.available() != 0) return true;
  return std::ranges::any_of(context_.channel.handed, [](const auto& from) { return from->consumer.available() != 0; });
}

void Worker::tell_polls(uint64_t emptied_ns) noexcept {
  for (uint16_t port = 0; port < context_.ports.size(); ++port) {
    if (context_.tables.polls.polls(PortIndex{port}, context_.number))
      context_.tables.polls.emptied(PortIndex{port}, context_.number, emptied_ns);
  }
}

}  // namespace sky::dataplane
