#include "perf/ndr/rig.h"

#include <time.h>

#include <algorithm>
#include <cstring>

#include "perf/loop/neighbours.h"
#include "perf/loop/raw_aead.h"
#include "perf/loop/route_ids.h"
#include "tests/support/installs.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr uint32_t kCircuits = 1024;
constexpr uint32_t kIntervalUs = 1'000'000;
constexpr uint64_t kMs = 1'000'000;

uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

drivers::PortConfig port_config(const std::string& device, const RigConfig& config) {
  return {.name = device, .device = device, .mtu = config.mtu, .ports = 2};
}

NodeConfig node_config(const RigConfig& config, const std::array<std::unique_ptr<drivers::Port>, 2>& ports) {
  return {.ports = 2,
          .mtu = config.mtu,
          .capacities = kNode.capacities,
          .hugepages = config.hugepages,
          .start_ns = monotonic_ns(),
          .wires = {ports[0].get(), ports[1].get()}};
}

struct Launch {
  Worker* worker;
  const std::atomic<bool>* stop;
};

int run_worker(void* argument) {
  const std::unique_ptr<Launch> launch(static_cast<Launch*>(argument));
  launch->worker->run(*launch->stop);
  return 0;
}

void send_bytes(drivers::Port& port, const Bytes& frame) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(port.pool());
  if (mbuf == nullptr) return;
  std::ranges::copy(frame, reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size()))));
  if (port.tx_burst(0, &mbuf, 1) == 0) rte_pktmbuf_free(mbuf);
}

}  // namespace

Result<std::unique_ptr<Rig>> Rig::create(const RigConfig& config) {
  drivers::EalConfig eal{.main_core = config.cpus[0],
                         .workers = {config.cpus[1]},
                         .hugepages = config.hugepages,
                         .memory_bytes = kEalBytes,
                         .devices = {},
                         .scratch = {}};
  for (const auto& devices : {config.ports, config.generators}) {
    for (const std::string& device : devices) {
      eal.devices.push_back(device);
      eal.memory_bytes += drivers::Port::memory_bytes(port_config(device, config));
    }
  }
  start_eal_once(eal);
  Opened opened;
  for (unsigned i = 0; i < 2; ++i) {
    auto port = drivers::Port::open(port_config(config.ports[i], config));
    if (!port) return std::unexpected(port.error());
    auto generator = drivers::Port::open(port_config(config.generators[i], config));
    if (!generator) return std::unexpected(generator.error());
    opened.ports[i] = std::move(*port);
    opened.generators[i] = std::move(*generator);
  }
  std::unique_ptr<Rig> rig(new Rig(config, std::move(opened)));
  rig->install();
  auto launch = std::make_unique<Launch>(&rig->node_.worker(), &rig->stop_);
  if (auto launched = drivers::launch_worker(0, run_worker, launch.get()); !launched)
    return std::unexpected(launched.error());
  static_cast<void>(launch.release());
  if (auto proved = rig->prove(); !proved) return std::unexpected(proved.error());
  return rig;
}

Rig::Rig(const RigConfig& config, Opened opened)
    : config_(config),
      opened_(std::move(opened)),
      node_(node_config(config, opened_.ports)),
      engine_(*MbEngine::create()),
      routes_(route_ids(0, kCircuits, kNode.capacities.rules)),
      packet_(packet(to_underlying(PacketType::datagram), 0, pattern(config.packet_bytes - sizeof(PacketHeader)))) {}

Rig::~Rig() {
  stop_ = true;
  drivers::join_workers();
  settle();
}

size_t Rig::frame_bytes() const {
  const size_t around = config_.kind == FrameKind::clear ? sizeof(LinkHeader) : kLinkOverhead;
  return sizeof(EthernetHeader) + around + config_.packet_bytes;
}

void Rig::install() {
  std::vector<InstallMessage> installs;
  for (const auto& [peer, port] : {std::pair{&left_, 0u}, std::pair{&right_, 1u}}) {
    peer->mac = opened_.generators[port]->mac();
    peer->node_mac = opened_.ports[port]->mac();
    peer->kind = config_.kind;
    auto its = link_installs(*peer, port);
    auto put = its.front().as<LinkMessage>();
    put.mtu = config_.mtu;
    put.interval_us = kIntervalUs;
    its.front() = InstallMessage::of(put);
    std::ranges::copy(its, std::back_inserter(installs));
  }
  for (uint32_t i = 0; i < kCircuits; ++i)
    installs.push_back(message(forward_put(routes_[i], left_.link, right_.link, i + 1,
                                           make_treatment(to_underlying(Queue::other), config_.kind))));
  node_.install(installs);
  ethernet_ = left_.ethernet_towards_node();
}

Result<> Rig::prove() {
  const auto up = [this](const LinkPeer& peer) { return node_.tables->stats.link(LinkIndex{peer.link}).up.get() != 0; };
  for (const uint64_t start_ns = monotonic_ns(); !up(left_) || !up(right_);) {
    const uint64_t now_ns = monotonic_ns();
    if (now_ns > start_ns + 10'000 * kMs)
      return fail("ndr: found no link after 10 s, wanted {} wired to {} and {} to {}", config_.ports[0],
                  config_.generators[0], config_.ports[1], config_.generators[1]);
    next_ping_ns_ = std::min(next_ping_ns_, now_ns + 20 * kMs);
    keep(now_ns);
    receive();
  }
  settle();
  std::array<rte_mbuf*, kBurst> frames;
  const unsigned made = make(frames);
  const unsigned sent = opened_.generators[0]->tx_burst(0, frames.data(), static_cast<uint16_t>(made));
  rte_pktmbuf_free_bulk(frames.data() + sent, made - sent);
  std::vector<Bytes> seen;
  for (const uint64_t start_ns = monotonic_ns(); seen.size() < sent && monotonic_ns() < start_ns + 1'000 * kMs;)
    receive(&seen);
  if (sent == 0 || seen.size() != sent)
    return fail("ndr: found {} of a burst of {} frames forwarded", seen.size(), sent);
  for (const Bytes& frame : seen) {
    const auto opened = right_.open(frame);
    if (!opened || opened->route() == 0 || opened->route() > kCircuits ||
        opened->payload() != Bytes(packet_.begin() + sizeof(PacketHeader), packet_.end()))
      return fail("ndr: found a frame changed on its way, wanted another route ID alone");
  }
  return {};
}

unsigned Rig::make(std::span<rte_mbuf*> frames) {
  if (rte_pktmbuf_alloc_bulk(opened_.generators[0]->pool(), frames.data(), static_cast<unsigned>(frames.size())) != 0)
    return 0;
  RawOps seals;
  for (rte_mbuf* mbuf : frames) {
    auto* frame = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame_bytes())));
    std::ranges::copy(ethernet_, frame);
    uint8_t* const data = frame + sizeof(EthernetHeader);
    const Bytes header = left_.next_header(config_.kind).bytes();
    std::ranges::copy(header, data);
    uint8_t* const at = frame + frame_bytes() - config_.packet_bytes;
    std::ranges::copy(packet_, at);
    reinterpret_cast<PacketHeader*>(at)->route_id = Be32(routes_[random_() % kCircuits]);
    if (config_.kind == FrameKind::clear) continue;
    const size_t sealed = config_.kind == FrameKind::header ? kHeaderSealed : config_.packet_bytes;
    const Be64 word = reinterpret_cast<const LinkHeader*>(data)->lane_counter;
    seals.add(RawOp{at, sealed, data + sizeof(LinkHeader), data, word}.under(
        *node_.tables->links.find(left_.link)->receive.for_link(0)));
  }
  engine_->seal(seals.all());
  return static_cast<unsigned>(frames.size());
}

unsigned Rig::receive(std::vector<Bytes>* seen) {
  std::array<rte_mbuf*, kBurst> frames;
  const unsigned pings = opened_.generators[0]->rx_burst(0, frames.data(), kBurst);
  rte_pktmbuf_free_bulk(frames.data(), pings);
  const unsigned count = opened_.generators[1]->rx_burst(0, frames.data(), kBurst);
  unsigned ours = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (frames[i]->pkt_len != frame_bytes()) continue;  // a ping of the router's is shorter
    ++ours;
    const auto* data = rte_pktmbuf_mtod(frames[i], const uint8_t*);
    if (seen != nullptr) seen->emplace_back(data, data + frames[i]->data_len);
  }
  rte_pktmbuf_free_bulk(frames.data(), count);
  return ours;
}

void Rig::settle() {
  for (uint64_t last_ns = monotonic_ns(); monotonic_ns() < last_ns + 50 * kMs;)
    if (receive() != 0) last_ns = monotonic_ns();
}

void Rig::keep(uint64_t now_ns) {
  if (now_ns >= next_turn_ns_) {
    next_turn_ns_ = now_ns + 10 * kMs;
    node_.pass(now_ns - std::min(now_ns, node_.now_ns()));
    node_.main_turn();
    node_.events();
  }
  if (now_ns < next_ping_ns_) return;
  next_ping_ns_ = now_ns + 300 * kMs;
  send_bytes(*opened_.generators[0], left_.ping(true, kIntervalUs));
  send_bytes(*opened_.generators[1], right_.ping(true, kIntervalUs));
}

Trial Rig::measure(double rate, double seconds) {
  settle();
  Trial trial{};
  std::array<rte_mbuf*, kBurst> frames;
  unsigned waiting = 0;
  const uint64_t start_ns = monotonic_ns();
  const auto span_ns = static_cast<uint64_t>(seconds * 1e9);
  uint64_t passed_ns = 0;
  while ((passed_ns = monotonic_ns() - start_ns) < span_ns) {
    keep(start_ns + passed_ns);
    if (waiting == 0) {
      const auto due = static_cast<uint64_t>(rate * static_cast<double>(passed_ns) / 1e9) + 1;
      const uint64_t wanted = rate == 0 ? kBurst : std::min<uint64_t>(kBurst, due - std::min(due, trial.sent));
      waiting = make(std::span(frames).first(wanted));
    }
    const unsigned sent = opened_.generators[0]->tx_burst(0, frames.data(), static_cast<uint16_t>(waiting));
    std::copy(frames.begin() + sent, frames.begin() + waiting, frames.begin());
    waiting -= sent;
    trial.sent += sent;
    trial.received += receive();
  }
  trial.seconds = static_cast<double>(monotonic_ns() - start_ns) / 1e9;
  rte_pktmbuf_free_bulk(frames.data(), waiting);
  for (uint64_t last_ns = monotonic_ns(); trial.received < trial.sent && monotonic_ns() < last_ns + 100 * kMs;) {
    const unsigned more = receive();
    trial.received += more;
    if (more != 0) last_ns = monotonic_ns();
  }
  return trial;
}

}  // namespace sky::perf
