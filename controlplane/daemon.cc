#include "controlplane/daemon.h"

#include <sodium.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <utility>

#include "controlplane/metrics/exposition.h"
#include "controlplane/signalling/messages.h"
#include "controlplane/topology/as_json.h"
#include "dataplane/base/key_file.h"
#include "dataplane/base/log.h"
#include "dataplane/base/privileges.h"

namespace sky::controlplane {
namespace {

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

constexpr size_t kStackBytes = 256 << 10;  ///< deeper than any turn of the loop goes

size_t most_rows(const SizesConfig& sizes) {
  return sizes.rules + sizes.links + sizes.sessions + size_t{sizes.groups} * (1 + kMaxMembers) +
         size_t{2} * sizes.prefixes + 16;
}

/// A SETUP on its first hop that is no refresh: this node, the ingress, signals a circuit. Its first bytes are message,
/// flags, attempt and hop (docs/protocol.md, "Signalling").
bool starts_circuit(const ControlPacket& packet) {
  return packet.kind == SlotKind::link_packet && packet.type == to_underlying(PacketType::signal) &&
         packet.length > 3 && packet.payload[0] == to_underlying(SignalType::setup) && (packet.payload[1] & 1) == 0 &&
         packet.payload[3] == 1;
}

Result<std::vector<Secret<32>>> read_pre_shared(const RouterConfig& router) {
  std::vector<Secret<32>> all;
  for (const LinkConfig& link : router.links) {
    auto& secret = all.emplace_back();
    if (!link.psk_file) continue;
    auto key = read_secret_key(*link.psk_file);
    if (!key) return std::unexpected(key.error());
    secret = Secret<32>(key->bytes());
  }
  return all;
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::create(Configuration configuration) {
  auto& [router, topology, identity, self] = configuration;
  auto loop = EventLoop::create();
  if (!loop) return std::unexpected(loop.error());
  auto pre_shared = read_pre_shared(router);
  if (!pre_shared) return std::unexpected(pre_shared.error());

  const auto dataplane_user = user_id(router.users.dataplane);
  if (!dataplane_user) return std::unexpected(dataplane_user.error());

  KernelPlan plan = plan_of(router, topology, self);
  std::vector<std::string> nodes;
  for (const TopologyNode& node : topology.nodes) {
    if (node.name != router.node.name) nodes.push_back(node.name);
  }
  Json shown = as_json(topology);
  auto paths = std::make_shared<DisjointPaths>(graph_of(topology));
  CoreSetup setup{router, Identity::from_seed(identity.bytes()), std::move(*pre_shared),
                  std::make_shared<StaticTopology>(std::move(topology)), std::move(paths)};
  auto random = std::make_unique<SodiumRandom>();
  auto core = Core::create(std::move(setup), *random, EventLoop::now_ns());
  if (!core) return std::unexpected(core.error());

  std::unique_ptr<Daemon> daemon(new Daemon({std::move(*loop), std::move(router), std::move(plan), std::move(nodes),
                                             std::move(shown), std::move(random), std::move(*core), *dataplane_user}));
  if (auto started = daemon->start(); !started) return std::unexpected(started.error());
  return daemon;
}

Daemon::Daemon(Parts parts)
    : loop_(std::move(parts.loop)),
      router_(std::move(parts.router)),
      nodes_(std::move(parts.nodes)),
      topology_(std::move(parts.topology)),
      random_(std::move(parts.random)),
      core_(std::move(parts.core)),
      tun_(std::move(parts.plan)),
      dataplane_(
          loop_, router_.dataplane_socket, parts.dataplane_user, most_rows(router_.dataplane.sizes),
          [this](Event&& event) { dispatch(std::move(event)); },
          [this](const SeenPacket& record) {
            api_.packets().seen(record);
            server_.wake();
          }) {
  for (const PortConfig& port : router_.ports) names_.ports.push_back(port.name);
  for (const LinkConfig& link : router_.links) names_.links.push_back(link.name);
}

Daemon::~Daemon() {
  sd_notify(0, "STOPPING=1");
}

Result<> Daemon::start() {
  const auto timer = [&](EventLoop::Timer& into, EventLoop::Callback callback) -> Result<> {
    auto made = loop_.timer(std::move(callback));
    if (!made) return std::unexpected(made.error());
    into = std::move(*made);
    return {};
  };
  if (auto made = timer(core_timer_, [this] { dispatch(Tick{}); }); !made) return made;
  for (TurnedServer* server : {&server_, &metrics_server_}) {
    if (auto prepared = server->prepare(loop_); !prepared) return prepared;
  }
  if (auto made = timer(housekeeping_, [this] { housekeep(); }); !made) return made;
  if (auto made = timer(traffic_timer_, [this] { look_for_traffic(); }); !made) return made;
  if (auto stops = loop_.stop_on_signals(); !stops) return stops;
  loop_.keep_watchdog_fed();
  housekeep();
  look_for_traffic();
  core_timer_.arm(core_.next_deadline());
  if (auto started = dataplane_.start(); !started) return started;
  log_info("{} is up, API at {}", router_.node.name, router_.api_socket);
  sd_notify(0, "READY=1");
  return {};
}

void Daemon::dispatch(Event&& event) {
  events_.push_back(std::move(event));
  if (std::exchange(handling_, true)) return;
  while (!events_.empty()) {
    const Event next = std::move(events_.front());
    events_.pop_front();
    if (std::holds_alternative<Attached>(next)) tun_.renew();
    if (std::holds_alternative<Detached>(next) && api_.packets().detached()) server_.wake();
    mtu_unsure_ |= std::holds_alternative<Attached>(next) || std::holds_alternative<Acked>(next);
    for (Action& action : core_.handle(next, EventLoop::now_ns())) carry_out(action);
  }
  handling_ = false;
  if (core_.wants_reattachment()) housekeeping_.arm(EventLoop::now_ns());  // not here: the attachment may be calling
  core_timer_.arm(core_.next_deadline());
}

void Daemon::carry_out(Action& action) {
  std::visit(Overloaded{
                 [&](Install& install) {
                   const uint64_t generation = install.generation;
                   if (dataplane_.install(std::move(install))) return;
                   events_.push_back(Acked{generation, InstallError::batch_too_long, 0});
                 },
                 [&](Send& send) {
                   setups_sent_ += starts_circuit(send.packet);
                   if (!dataplane_.send(send.packet)) log_warning("a control packet found no room in its ring");
                 },
                 [&](Answer& answer) {
                   api_.answer(answer);
                   server_.wake();
                 },
                 [&](Log& log) { log_line(log.level, log.text); },
             },
             action);
}

void Daemon::serve_api() {
  mkdir(router_.runtime.c_str(), 0750);  // usually there: the service manager or the dataplane made it
  auto server = HttpServer::listen(router_.api_socket, [this](const Request& request, HttpServer::Responder respond) {
    api_.handle(request, std::move(respond));
  });
  const Result<> taken = server ? server_.take(std::move(*server)) : std::unexpected(server.error());
  std::string error = taken ? "" : taken.error().message;
  if (std::exchange(server_error_, std::move(error)) != server_error_ && !taken) log_warning("{}", server_error_);
}

/// An address that is not there yet, such as one of the TUN, or that another process still has, is waited for: traffic
/// must not depend on who watches it.
void Daemon::serve_metrics() {
  auto server = HttpServer::listen(router_.metrics->listen, [this](const Request& request, const auto& respond) {
    respond(answer_scrape(request, [this] { return metrics(); }));
  });
  const Result<> taken = server ? metrics_server_.take(std::move(*server)) : std::unexpected(server.error());
  std::string error;
  if (taken) {
    log_info("metrics at http://{}/metrics", to_string(router_.metrics->listen));
  } else {
    error = to_string(ConfigError{router_.file,
                                  router_.metrics->mark,
                                  "metrics.listen",
                                  taken.error().message,
                                  "an address of this machine that nobody else listens at",
                                  {}});
  }
  if (std::exchange(metrics_error_, std::move(error)) != metrics_error_ && !taken) log_error("{}", metrics_error_);
}

const std::string& Daemon::metrics() {
  const uint64_t now_ns = EventLoop::now_ns();
  if (now_ns < metrics_until_ns_) return metrics_;
  const Snapshot snapshot = core_.snapshot(now_ns);
  metrics_ = metrics_text(context(snapshot, now_ns));
  metrics_until_ns_ = now_ns + kScrapeNs;
  return metrics_;
}

/// What is worth a second's delay: an address that another process still serves, a kernel that refused, the MTU.
void Daemon::housekeep() {
  // Handshakes ran on this thread. Copies that the compiler or a library made below are in nobody's hand to wipe.
  sodium_stackzero(kStackBytes);
  if (core_.wants_reattachment()) dataplane_.drop({"it refuses this control plane's batches as such"});
  if (!server_) serve_api();
  if (router_.metrics && !metrics_server_) serve_metrics();
  tun_.retry();
  if (api_.packets().tick()) server_.wake();
  if (std::exchange(mtu_unsure_, false)) fit_mtu();
  housekeeping_.arm(EventLoop::now_ns() + kHousekeepingNs);
}

void Daemon::fit_mtu() {
  std::optional<uint32_t> least;
  for (const GroupSnapshot& group : core_.snapshot(EventLoop::now_ns()).groups) {
    for (const MemberSnapshot& member : group.members) {
      if ((member.own || member.weight > 0) && member.mtu > 0)
        least = std::min<uint32_t>(least.value_or(UINT32_MAX), member.mtu);
    }
  }
  tun_.fit(least);
}

void Daemon::look_for_traffic() {
  if (dataplane_.counters() != nullptr) {
    for (const TrafficSeen& seen : traffic_.look(*dataplane_.counters())) dispatch(Event(seen));
  }
  traffic_timer_.arm(EventLoop::now_ns() + TrafficWatch::period_ns(router_.circuits.idle_ns));
}

std::optional<Json> Daemon::show(std::string_view what) {
  if (what == "topology") return topology_;
  const uint64_t now_ns = EventLoop::now_ns();
  const Snapshot snapshot = core_.snapshot(now_ns);
  return view(what, context(snapshot, now_ns));
}

ViewContext Daemon::context(const Snapshot& snapshot, uint64_t now_ns) const {
  return {.snapshot = snapshot,
          .router = router_,
          .counters = dataplane_.counters(),
          .dataplane_error = dataplane_.error(),
          .kernel_error = tun_.error(),
          .metrics_error = metrics_error_,
          .setups_sent = setups_sent_,
          .now_ns = now_ns};
}

}  // namespace sky::controlplane
