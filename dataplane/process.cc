#include "dataplane/process.h"

#include <poll.h>
#include <rte_mempool.h>
#include <sodium.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <future>

#include "dataplane/base/log.h"
#include "dataplane/base/privileges.h"
#include "dataplane/crypto/mb_engine.h"
#include "dataplane/memory.h"
#include "drivers/eal.h"

namespace sky::dataplane {
namespace {

constexpr uint64_t kTickNs = 50'000'000;      ///< keys and housekeeping of an idle router
constexpr uint64_t kBriskTickNs = 1'000'000;  ///< while a batch's keys and deletes pass their graces
constexpr uint64_t kBriskNs = 1'000'000'000;
constexpr uint64_t kHouseNs = 200'000'000;
constexpr size_t kStackBytes = 64 << 10;           ///< deeper than any turn goes
constexpr uint64_t kWorkerHangsNs = 800'000'000;   ///< its heartbeat is this old: said in the log
constexpr uint64_t kWorkerLostNs = 1'500'000'000;  ///< the same: the service manager starts all anew

uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

KeyPolicy key_policy(const RekeyConfig& rekey, size_t workers) {
  KeyPolicy policy = KeyPolicy::of_age(rekey.time_ns, static_cast<unsigned>(workers));
  policy.step_bytes = rekey.bytes;
  policy.failed_tags = rekey.failed_tags;
  policy.headless_ns = rekey.headless_hold_ns;
  return policy;
}

/// What a port's links use; the usual one where it has no link.
std::vector<uint16_t> ether_types(const RouterConfig& config) {
  std::vector<uint16_t> types(config.ports.size(), kDefaultEtherType);
  for (const sky::LinkConfig& link : config.links) types[to_underlying(link.port)] = link.ethertype;
  return types;
}

/// What is not given up once ports and TUN are open: locked memory beyond a limit, and with AF_XDP what takes its
/// program off the interface in the end.
std::vector<cap_value_t> lasting_capabilities(const RouterConfig& config) {
  std::vector<cap_value_t> kept;
  if (!unlimited_locked_memory()) kept.push_back(CAP_IPC_LOCK);
  const auto is_xdp = [](const sky::PortConfig& port) { return port.device.starts_with("net_af_xdp"); };
  if (std::ranges::any_of(config.ports, is_xdp)) kept.insert(kept.end(), {CAP_NET_ADMIN, CAP_BPF});
  return kept;
}

struct Launch {
  Worker* worker;
  const std::atomic<bool>* stop;
  std::vector<cap_value_t> kept;
  std::promise<Result<>> ready;
};

int run_worker(void* argument) {
  const std::unique_ptr<Launch> launch(static_cast<Launch*>(argument));
  auto dropped = keep_capabilities(launch->kept);
  const bool runs = dropped.has_value();
  launch->ready.set_value(std::move(dropped));
  if (runs) launch->worker->run(*launch->stop);
  return 0;
}

}  // namespace

Result<Eal> Eal::start(const RouterConfig& config, uint64_t memory_bytes) {
  std::error_code error;
  if (std::filesystem::create_directories(config.runtime, error)) {
    using enum std::filesystem::perms;  // who may do what, the sockets in it say
    std::filesystem::permissions(config.runtime, owner_all | group_read | group_exec | others_read | others_exec,
                                 error);
  }
  if (error) return fail("runtime directory {}: {}", config.runtime, error.message());
  drivers::EalConfig eal{.main_core = config.dataplane.main_core,
                         .workers = config.dataplane.workers,
                         .hugepages = config.dataplane.hugepages,
                         .memory_bytes = memory_bytes,
                         .devices = {},
                         .scratch = config.runtime};
  for (const sky::PortConfig& port : config.ports) eal.devices.push_back(port.device);
  if (auto started = drivers::start_eal(eal); !started) return std::unexpected(started.error());
  return Eal(true);
}

Eal::~Eal() {
  if (started_) drivers::stop_eal();
}

Process::Process(Eal eal, SharedPages counters, Stats stats, drivers::Waiter waiter)
    : eal_(std::move(eal)), counters_(std::move(counters)), stats_(stats), waiter_(std::move(waiter)) {}

Result<std::unique_ptr<Process>> Process::start(const RouterConfig& config) {
  if (config.ports.empty()) return fail("{}: found no ports, wanted at least one", config.file);
  const MemoryNeed need = memory_need(config);
  if (auto fits = check_memory(need, config.dataplane.hugepages); !fits) return std::unexpected(fits.error());
  // Before the EAL, whose threads inherit it: sleeps of 100 us end 50 us late by default.
  drivers::set_timer_slack(1'000);
  auto eal = Eal::start(config, need.eal_bytes());
  if (!eal) return std::unexpected(eal.error());

  const SizesConfig& sizes = config.dataplane.sizes;
  const auto workers = static_cast<uint32_t>(config.dataplane.workers.size());
  const auto ports = static_cast<uint32_t>(config.ports.size());
  const StatsLayout layout = StatsLayout::of(workers, ports, sizes.links, sizes.groups);
  auto counters = SharedPages::create("skyedge-counters", layout.bytes, true);
  if (!counters) return std::unexpected(counters.error());
  auto waiter = drivers::Waiter::create();
  if (!waiter) return std::unexpected(waiter.error());
  const Stats stats(counters->data(), layout);
  std::unique_ptr<Process> process(new Process(std::move(*eal), std::move(*counters), stats, std::move(*waiter)));
  randombytes_buf(&process->boot_id_, sizeof(process->boot_id_));
  StatsHeader& header = stats.header();
  header.magic = kStatsMagic;
  header.abi_version = kAbiVersion;
  header.counters = kCounters;
  header.drop_reasons = kDropReasons;
  header.stages = kStages;
  header.workers = workers;
  header.ports = ports;
  header.links = sizes.links;
  header.groups = sizes.groups;
  header.boot_id = process->boot_id_;
  header.started_ns.set(monotonic_ns());

  for (auto step : {&Process::open_ports, &Process::make_tables, &Process::make_workers, &Process::start_agent}) {
    if (auto done = (process.get()->*step)(config); !done) return std::unexpected(done.error());
  }
  if (auto launched = process->launch(lasting_capabilities(config)); !launched) {
    return std::unexpected(launched.error());
  }
  return process;
}

Result<> Process::open_ports(const RouterConfig& config) {
  for (const sky::PortConfig& port : config.ports) {
    auto opened = drivers::Port::open({.name = port.name,
                                       .device = port.device,
                                       .mtu = port.mtu,
                                       .queues = static_cast<uint16_t>(config.dataplane.workers.size()),
                                       .ports = static_cast<uint16_t>(config.ports.size()),
                                       .lanes_by_mac = port.lanes_by_mac});
    if (!opened) return std::unexpected(opened.error());
    ports_.push_back(std::move(*opened));
  }
  auto tun = drivers::Tun::open(config.tun);
  if (!tun) return std::unexpected(tun.error());
  tun_ = std::move(*tun);
  return {};
}

Result<> Process::make_tables(const RouterConfig& config) {
  const SizesConfig& sizes = config.dataplane.sizes;
  const size_t workers = config.dataplane.workers.size();
  auto engine = MbEngine::create();
  if (!engine) return std::unexpected(engine.error());
  suites_ = config.dataplane.suites & (*engine)->suites();
  if (suites_ == 0) {
    return fail(
        "dataplane.suites: found aes-256-gcm alone and a CPU without AES and carry-less multiplication, "
        "wanted chacha20-poly1305 too");
  }
  keys_ = std::move(*engine);
  auto map = DestinationMap::create("destinations", {.prefixes = sizes.prefixes, .groups = sizes.groups});
  if (!map) return std::unexpected(map.error());
  TablesConfig tables{
      .capacities = {.ports = static_cast<uint32_t>(config.ports.size()),
                     .links = sizes.links,
                     .sessions = sizes.sessions,
                     .rules = sizes.rules,
                     .groups = sizes.groups,
                     .destinations = 2 * sizes.prefixes,  // of IPv6 and of IPv4
                     .workers = static_cast<unsigned>(workers),
                     .suites = suites_,
                     .laboratory = config.laboratory},
      .workers = static_cast<unsigned>(workers),
      .link_keys = key_policy(config.rekey, workers),
      .session_keys = key_policy(config.rekey, workers * (kMaxMembers + 1)),  // a stream per member, one copied
      .port_macs = {},
      .polling = {},
      .copy_windows_bytes = sizes.copy_windows_bytes,
      .hugepages = config.dataplane.hugepages};
  for (size_t i = 0; i < ports_.size(); ++i) {
    const PortConfig& port = config.ports[i];
    tables.polling.push_back({.worker = port.worker.value_or(0),
                              .by_lane = port.lanes_by_mac && ports_[i]->rx_queues() == workers && workers > 1,
                              .lane_in_mac = port.lanes_by_mac});
  }
  for (const auto& port : ports_) tables.port_macs.push_back(port->mac());
  if (config.laboratory && config.dataplane.key_log) {
    auto log = KeyLog::open(*config.dataplane.key_log);
    if (!log) return std::unexpected(log.error());
    key_log_ = std::move(*log);
    tables.key_log = key_log_.get();
  }
  quiescence_ = std::make_unique<Quiescence>(static_cast<unsigned>(workers));
  tables_ = std::make_unique<Tables>(std::move(tables), *quiescence_, *keys_, stats_, std::move(*map));
  return {};
}

Result<> Process::make_workers(const RouterConfig& config) {
  const auto wake_main = drivers::make_event();
  if (!wake_main) return std::unexpected(wake_main.error());
  wake_main_ = *wake_main;
  if (auto added = waiter_.add(wake_main_); !added) return added;
  std::vector<drivers::Port*> ports;
  for (const auto& port : ports_) ports.push_back(port.get());
  const auto workers = static_cast<unsigned>(config.dataplane.workers.size());
  for (unsigned number = 0; number < workers; ++number) {
    auto channel = std::make_unique<WorkerChannel>(workers);
    const auto wake_worker = drivers::make_event();
    if (!wake_worker) return std::unexpected(wake_worker.error());
    channel->wake_worker = *wake_worker;
    channel->wake_main = wake_main_;
    channel_pointers_.push_back(channel.get());
    channels_.push_back(std::move(channel));
  }
  for (unsigned number = 0; number < workers; ++number) {
    auto engine = MbEngine::create();
    if (!engine) return std::unexpected(engine.error());
    auto worker = Worker::create({.number = number,
                                  .adaptive = config.dataplane.idle == Idle::adaptive,
                                  .ports = ports,
                                  .ether_types = ether_types(config),
                                  .tun = tun_.get()},
                                 *tables_, *quiescence_, std::move(*engine), channel_pointers_);
    if (!worker) return std::unexpected(worker.error());
    workers_.push_back(std::move(*worker));
  }
  return {};
}

Result<> Process::start_agent(const RouterConfig& config) {
  const auto control_user = user_id(config.users.control);
  if (!control_user) return std::unexpected(control_user.error());
  auto endpoint = Endpoint::open(config.dataplane_socket, boot_id_, counters_, suites_, *control_user);
  if (!endpoint) return std::unexpected(endpoint.error());
  endpoint_ = std::move(*endpoint);
  dead_routes_ = std::make_unique<DeadRoutes>(
      tables_->rules,
      DeadRoutes::Hooks{.usable = [this](LinkIndex link) { return tables_->links_up.test(link); },
                        .send = [this](const ControlPacket& packet) { return agent_->lower(packet); },
                        .circuit_died = [this](RouteId consume) { tables_->circuit_died(consume, events_); }});
  agent_ = std::make_unique<Agent>(
      *endpoint_, boot_id_, stats_, *tables_, *tables_, *tables_, channel_pointers_,
      Agent::Hooks{.link_state =
                       [this](const LinkStateEvent& event) {
                         if (event.up == 0) dead_routes_->link_down(event.link);
                       },
                   .dead_routes = [this](const ControlPacket& packet) { dead_routes_->received(packet); },
                   .retire = [this](std::function<void()> free) { quiescence_->retire(std::move(free)); }});
  return waiter_.add(endpoint_->descriptor());
}

Result<> Process::launch(const std::vector<cap_value_t>& kept) {
  // Capabilities belong to threads: DPDK's own, this one, and each worker before it sees a frame.
  if (auto dropped = drivers::on_interrupt_thread([&kept] { return keep_capabilities(kept); }); !dropped)
    return dropped;
  if (auto dropped = keep_capabilities(kept); !dropped) return dropped;
  for (unsigned number = 0; number < workers_.size(); ++number) {
    // Until its first turn: a thread that waits for its core has not hung.
    stats_.worker(number).heartbeat_ns.set(monotonic_ns());
    auto argument = std::make_unique<Launch>(workers_[number].get(), &stop_workers_, kept);
    auto ready = argument->ready.get_future();
    if (auto launched = drivers::launch_worker(number, run_worker, argument.get()); !launched) return launched;
    static_cast<void>(argument.release());
    if (auto dropped = ready.get(); !dropped) return dropped;
  }
  if (const std::string threads = privileged_threads(kept); !threads.empty()) {
    log_warning("capabilities that are not needed any more are kept by threads of a driver: {}", threads);
  }
  return {};
}

Process::~Process() {
  stop_workers_.store(true);
  for (const auto& channel : channels_) drivers::signal_event(channel->wake_worker);
  drivers::join_workers();
  workers_.clear();
  for (const auto& channel : channels_) close(channel->wake_worker);
  if (wake_main_ >= 0) close(wake_main_);
}

void Process::run(int stop_descriptor) {
  if (auto added = waiter_.add(stop_descriptor); !added) return log_error("{}", added.error().message);
  sd_notify(0, "READY=1");
  log_info("forwarding: {} ports, {} workers", ports_.size(), workers_.size());
  pollfd stop{.fd = stop_descriptor, .events = POLLIN, .revents = 0};
  while (poll(&stop, 1, 0) == 0) {
    drivers::clear_event(wake_main_);
    const uint64_t sleep_ns = turn(monotonic_ns());
    if (sleep_ns > 0) waiter_.wait(sleep_ns);
  }
  sd_notify(0, "STOPPING=1");
}

uint64_t Process::turn(uint64_t now_ns) {
  tables_->begin_turn(now_ns);
  agent_->turn(now_ns);
  bool more = dead_routes_->turn();
  more |= tables_->end_turn(events_);
  agent_->report(events_);
  if (const uint64_t batches = stats_.header().batches.get(); batches != batches_seen_) {
    batches_seen_ = batches;
    brisk_until_ns_ = now_ns + kBriskNs;
  }
  if (now_ns >= next_house_ns_) keep_house(now_ns);
  const uint64_t tick_ns = more || now_ns < brisk_until_ns_ ? kBriskTickNs : kTickNs;
  return std::min(agent_->patience_ns(), tick_ns);
}

void Process::keep_house(uint64_t now_ns) {
  next_house_ns_ = now_ns + kHouseNs;
  // Chains pass through this thread. Copies that the compiler or a library made below are in nobody's hand to wipe.
  sodium_stackzero(kStackBytes);
  uint64_t buffers = 0;
  uint64_t buffers_free = 0;
  for (uint16_t index = 0; index < ports_.size(); ++index) {
    const drivers::Port& port = *ports_[index];
    stats_.port(PortIndex{index}).up.set(port.link_up() ? 1 : 0);
    buffers += port.pool()->size;
    buffers_free += rte_mempool_avail_count(port.pool());
  }
  stats_.header().buffers.set(buffers);
  stats_.header().buffers_free.set(buffers_free);
  watch_workers(now_ns);
}

/// A main core that hangs is missed by the service manager (WatchdogSec= in the unit), a worker by the main core.
void Process::watch_workers(uint64_t now_ns) {
  uint64_t silent_ns = 0;
  for (unsigned number = 0; number < workers_.size(); ++number) {
    const uint64_t beat_ns = stats_.worker(number).heartbeat_ns.get();
    const uint64_t age_ns = now_ns > beat_ns ? now_ns - beat_ns : 0;
    if (age_ns > kWorkerHangsNs && silent_ns <= kWorkerHangsNs && !hang_told_) log_error("worker {} hangs", number);
    silent_ns = std::max(silent_ns, age_ns);
  }
  hang_told_ = silent_ns > kWorkerHangsNs;
  sd_notify(0, silent_ns > kWorkerLostNs ? "WATCHDOG=trigger" : "WATCHDOG=1");
}

}  // namespace sky::dataplane
