#include "tests/support/node.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>

#include "dataplane/agent/apply.h"

namespace sky::test {

namespace {

using namespace dataplane;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

/// DPDK's objects have names, and tests many nodes.
std::string fresh_name(const std::string& stem) {
  static std::atomic<unsigned> serial = 0;
  return fmt::format("{}{}", stem, serial++);
}

}  // namespace

Node::Node(NodeConfig config) : now_ns_(config.start_ns), quiescence_(config.workers) {
  config.capacities.workers = config.workers;
  start_eal_once();
  if (sodium_init() < 0 || crypto_aead_aes256gcm_is_available() != 1)
    throw std::runtime_error("libsodium: no AES-256-GCM on this CPU");
  const Capacities& capacities = config.capacities;
  key_engine_ = must(MbEngine::create());
  const StatsLayout layout = StatsLayout::of(config.workers, config.ports, capacities.links, capacities.groups);
  stats_page_.resize(layout.bytes / sizeof(uint64_t) + 8);
  void* page = stats_page_.data();
  size_t room = stats_page_.size() * sizeof(uint64_t);
  std::align(64, layout.bytes, page, room);
  references_ = std::make_unique<References>(capacities);
  for (unsigned worker = 0; worker < config.workers; ++worker) {
    channels_.push_back(std::make_unique<WorkerChannel>(config.workers));
    channel_pointers_.push_back(channels_.back().get());
  }
  make_ports(config);
  TablesConfig tables_config{.capacities = capacities,
                             .workers = config.workers,
                             .link_keys = config.link_keys,
                             .session_keys = config.session_keys,
                             .port_macs = {},
                             .polling = {},
                             .hugepages = config.hugepages};
  for (unsigned port = 0; port < config.ports; ++port)
    tables_config.polling.push_back(
        {.worker = port % config.workers, .by_lane = std::ranges::count(config.by_lane, port) != 0});
  for (const drivers::Port* port : all_ports_) tables_config.port_macs.push_back(port->mac());
  tables = std::make_unique<Tables>(
      tables_config, quiescence_, *key_engine_, Stats(page, layout),
      must(DestinationMap::create(fresh_name("map"),
                                  config.map.value_or(DestinationSizes{capacities.destinations, capacities.groups}))));
  make_workers(config);
}

void Node::make_ports(const NodeConfig& config) {
  all_ports_ = config.wires;
  while (all_ports_.size() < config.ports) {
    ports_.push_back(std::make_unique<MemoryPort>(fresh_name("mem"), config.mtu, config.ring_frames, config.workers));
    all_ports_.push_back(&ports_.back()->port());
  }
}

void Node::make_workers(const NodeConfig& config) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) != 0) throw std::runtime_error("no socket pair");
  tun_ = drivers::Tun::adopt(ends[0]);
  tun_peer_ = ends[1];
  WorkerConfig worker_config{
      .number = 0, .adaptive = config.adaptive, .ports = {}, .ether_types = {}, .tun = tun_.get()};
  worker_config.ports = all_ports_;
  worker_config.ether_types.assign(all_ports_.size(), kDefaultEtherType);
  for (; worker_config.number < config.workers; ++worker_config.number) {
    auto engine = config.engine ? config.engine() : must(MbEngine::create());
    workers_.push_back(must(Worker::create(worker_config, *tables, quiescence_, std::move(engine), channel_pointers_)));
  }
}

Node::~Node() {
  workers_.clear();
  tun_.reset();
  if (tun_peer_ >= 0) close(tun_peer_);
  tables.reset();
}

void Node::turn() {
  main_turn();
  worker_turn();
}

void Node::main_turn() {
  now_ns_ += 1'000;
  tables->begin_turn(now_ns_);
  tables->end_turn(main_events_);
}

void Node::worker_turn() {
  for (unsigned worker = 0; worker < workers_.size(); ++worker) {
    quiescence_.online(worker);
    workers_[worker]->turn(now_ns_);
    quiescence_.quiescent(worker);
    quiescence_.offline(worker);
  }
  for (const auto& port : ports_) port->unpoison();
}

void Node::run(uint64_t ns, uint64_t step_ns) {
  for (const uint64_t end = now_ns_ + ns; now_ns_ < end;) {
    pass(std::min(step_ns, end - now_ns_));
    turn();
  }
}

std::expected<void, Refusal> Node::try_install(const std::vector<InstallMessage>& messages, bool settle) {
  now_ns_ += 1'000;
  tables->begin_turn(now_ns_);
  std::expected<void, Refusal> done;
  const auto plan = check(messages, *tables, *references_);
  if (plan) {
    done = apply(messages, *plan, *tables, *tables, *references_);
  } else {
    done = std::unexpected(plan.error());
  }
  tables->end_turn(main_events_);
  for (int turns = 0; settle && done && !tables->settled(); ++turns) {
    if (turns == 10) throw std::runtime_error("a batch does not settle");
    turn();
  }
  return done;
}

void Node::install(const std::vector<InstallMessage>& messages) {
  const auto done = try_install(messages);
  if (done) return;
  throw std::runtime_error(fmt::format("batch refused: message {} (verb {}), reason {}", done.error().index,
                                       to_underlying(messages[done.error().index].verb),
                                       to_underlying(done.error().error)));
}

void Node::tun_write(const Bytes& packet) {
  if (write(tun_peer_, packet.data(), packet.size()) != static_cast<ssize_t>(packet.size()))
    throw std::runtime_error("the socket pair is full");
}

std::vector<Bytes> Node::tun_read() {
  std::vector<Bytes> out;
  Bytes buffer(65536);
  for (ssize_t bytes; (bytes = read(tun_peer_, buffer.data(), buffer.size())) > 0;)
    out.emplace_back(buffer.begin(), buffer.begin() + bytes);
  return out;
}

void Node::inject(const ControlPacket& packet) {
  const bool handshake = packet.kind == SlotKind::handshake;
  WorkerChannel& to = channel(handshake ? tables->hears(packet.port, packet.mac) : tables->owner(packet.link));
  if (!to.down.producer.push(packet)) throw std::runtime_error("the channel is full");
}

std::vector<ControlPacket> Node::punts() {
  std::vector<ControlPacket> out;
  ControlPacket packet;
  for (const auto& from : channels_) {
    while (from->up.consumer.pop(packet)) out.push_back(packet);
  }
  return out;
}

std::vector<InstallMessage> Node::events() {
  std::vector<InstallMessage> out;
  InstallMessage event;
  for (const auto& from : channels_) {
    while (from->events.consumer.pop(event)) out.push_back(event);
  }
  out.insert(out.end(), main_events_.begin(), main_events_.end());
  main_events_.clear();
  return out;
}

std::vector<Bytes> Node::exchange(unsigned index, const std::vector<Bytes>& frames) {
  for (const Bytes& frame : frames) port(index).push(frame);
  worker_turn();
  std::vector<Bytes> out;
  for (const auto& each : ports_) {
    for (Bytes& frame : each->pop_all()) out.push_back(std::move(frame));
  }
  return out;
}

Change Node::total() const {
  Change sum;
  for (unsigned worker = 0; worker < workers_.size(); ++worker) sum += total(worker);
  return sum;
}

Change Node::change() {
  const Change now = total();
  const Change since = now - seen_;
  seen_ = now;
  return since;
}

void Node::expect_at_rest() {
  const Change now = total();
  for (unsigned worker = 0; worker < workers_.size(); ++worker)
    EXPECT_EQ(0, total(worker).unaccounted()) << "worker " << worker << " " << total(worker);
  unsigned out = 0;
  for (const auto& each : ports_) out += each->buffers() - each->buffers_free();
  EXPECT_EQ(now.held + now.queued, out) << "buffers that are in no pool";
}

}  // namespace sky::test
