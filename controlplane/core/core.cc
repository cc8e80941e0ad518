#include "controlplane/core/core.h"

#include <algorithm>

#include "controlplane/core/adoption.h"
#include "controlplane/core/destinations.h"
#include "controlplane/core/requests.h"
#include "dataplane/base/address.h"

namespace sky::controlplane {

struct Core::Parts {
  Parts(CoreSetup setup, Network network, Random& random, TimeNs now)
      : context{.config = setup.config,
                .network = std::move(network),
                .paths = std::move(setup.paths),
                .random = random,
                .planner = Planner(setup.config.circuits.refresh_ns),
                .routes = RouteIds(setup.config.dataplane.sizes.rules, random),
                .out = {},
                .now = now},
        started_ns(now),
        sessions(context, setup.identity) {}

  Context context;
  TimeNs started_ns;
  Sessions sessions;
  std::unique_ptr<Links> links{};
  std::unique_ptr<Circuits> circuits{};
  std::unique_ptr<Groups> groups{};
  std::unique_ptr<Destinations> destinations{};
  std::unique_ptr<Requests> requests{};
  bool adopted = false;

  void on(const Attached& event);
  void on(const Detached&);
  void on(const Acked& event);
  void on(const DataplaneEvent& event);
  void on(const PacketIn& event);
  void on(const Tick&) {}
  void on(const TrafficSeen& event) { groups->on_traffic(event); }
  void on(const PingRequest& event) { requests->on_ping(event); }
  void on(const TraceRequest& event) { requests->on_trace(event); }

  void rebuild();
  void on_refused(const RefusedMessage& refused);
  void on_installed(const CircuitInstalled& done) { circuits->installed(done.circuit); }
  void on_installed(const KeysInstalled& done);
  void tick();
  void settle();
};

Result<Core> Core::create(CoreSetup setup, Random& random, TimeNs now) {
  auto network = Network::create(setup.topology, setup.config);
  if (!network) return std::unexpected(network.error());
  const Identity identity = setup.identity;
  const auto pre_shared = setup.pre_shared;
  auto parts = std::make_unique<Parts>(std::move(setup), std::move(*network), random, now);
  auto links = Links::create(parts->context, identity, pre_shared);
  if (!links) return std::unexpected(links.error());
  Parts& all = *parts;
  all.links = std::move(*links);
  all.circuits = std::make_unique<Circuits>(all.context, *all.links, all.sessions);
  all.groups = std::make_unique<Groups>(all.context, *all.links, all.sessions, *all.circuits);
  all.destinations = std::make_unique<Destinations>(all.context, *all.groups);
  all.requests = std::make_unique<Requests>(all.context, *all.groups, *all.circuits);
  all.circuits->set_ends(*all.groups);
  all.sessions.set_send_over(
      [&all](const Ipv6Address& peer, ByteView message) { return all.circuits->send_to(peer, message); });
  return Core(std::move(parts));
}

Core::Core(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;
Core::~Core() = default;

std::vector<Action> Core::handle(const Event& event, TimeNs now) {
  parts_->context.now = now;
  std::visit([&](const auto& each) { parts_->on(each); }, event);
  parts_->settle();
  return parts_->context.out.take();
}

TimeNs Core::next_deadline() const {
  TimeNs next =
      std::min({parts_->circuits->next_deadline(), parts_->groups->next_deadline(), parts_->requests->next_deadline()});
  if (!parts_->context.planner.attached()) return next;
  return std::min({next, parts_->links->next_deadline(), parts_->sessions.next_deadline(),
                   parts_->context.planner.next_deadline()});
}

void Core::Parts::rebuild() {
  groups->rebuild();
  destinations->rebuild();
}

void Core::Parts::on(const Attached& event) {
  const bool other = context.boot_id != event.boot_id;
  context.boot_id = event.boot_id;
  context.suites = event.suites;
  size_t found = 0;
  if (!adopted) {
    found =
        adopt(event.rows,
              {.context = context, .links = *links, .sessions = sessions, .circuits = *circuits, .groups = *groups});
    rebuild();
    adopted = true;
  }
  context.planner.attach(event.rows, context.now);
  std::map<LinkIndex, LinkMessage> link_rows;
  std::map<SessionIndex, SessionMessage> session_rows;
  std::map<RowKey, bool> live;
  for (const InstallMessage& row : event.rows) {
    if (row.verb == Verb::put_link) link_rows.emplace(row.as<LinkMessage>().link, row.as<LinkMessage>());
    if (row.verb == Verb::put_session) session_rows.emplace(row.as<SessionMessage>().session, row.as<SessionMessage>());
    if (row.verb == Verb::put_member) live.emplace(key_of(row).value(), row.as<MemberMessage>().live != 0);
  }
  const bool moved = std::ranges::any_of(
      link_rows, [&](const auto& row) { return context.network.has_link(row.first) && !links->is_adopted(row.first); });
  if (moved) {
    context.log(LogLevel::warning, "router.yaml has its links in another order: what stood under the old one goes");
    context.planner.evict_orphans();
  }
  links->attached(link_rows);
  sessions.attached(session_rows);
  groups->attached(live);
  context.log(LogLevel::info, "attached to {} dataplane: {} rows stand, {} circuits adopted, {} rows to put right",
              other ? "a new" : "the same", event.rows.size(), found, context.planner.pending());
}

void Core::Parts::on(const Detached&) {
  context.log(LogLevel::warning, "the dataplane is gone");
  context.planner.detach();
  links->detached();
  sessions.detached();
}

void Core::Parts::on(const Acked& event) {
  for (const RefusedMessage& refused : context.planner.acked(event)) on_refused(refused);
}

void Core::Parts::on_refused(const RefusedMessage& refused) {
  const InstallMessage& message = refused.message;
  context.log(LogLevel::error, "the dataplane refuses verb {}: {}", to_underlying(message.verb),
              name_of(refused.error));
  switch (message.verb) {
    case Verb::put_link:
      return links->refused(message.as<LinkMessage>().link);
    case Verb::put_session:
      return sessions.refused(message.as<SessionMessage>().session);
    case Verb::put_key_chain: {
      const auto chain = message.as<KeyChainMessage>();
      if (chain.owner == KeyOwner::link) return links->refused(LinkIndex{static_cast<uint16_t>(chain.index)});
      return sessions.refused(SessionIndex{chain.index});
    }
    case Verb::put_rule:
      return circuits->refused(message.as<RuleMessage>().circuit, refused.error);
    case Verb::put_member:
      return circuits->refused(message.as<MemberMessage>().circuit, refused.error);
    default:
      return;
  }
}

void Core::Parts::on_installed(const KeysInstalled& done) {
  if (done.owner == KeyOwner::link) {
    links->installed(LinkIndex{static_cast<uint16_t>(done.index)}, done.key_id);
  } else {
    sessions.installed(SessionIndex{done.index}, done.key_id);
  }
}

void Core::Parts::on(const DataplaneEvent& event) {
  const InstallMessage& message = event.message;
  switch (message.verb) {
    case Verb::link_state: {
      const auto state = message.as<LinkStateEvent>();
      links->on_state(state.link, state.up != 0);
      if (state.up == 0) return;
      groups->on_link_up();
      return sessions.on_link_up();
    }
    case Verb::chain_confirmed: {
      const auto chain = message.as<ChainConfirmedEvent>();
      if (chain.owner == KeyOwner::session) return sessions.on_confirmed(SessionIndex{chain.index}, chain.key_id);
      if (chain.index <= UINT16_MAX) links->on_confirmed(LinkIndex{static_cast<uint16_t>(chain.index)}, chain.key_id);
      return;
    }
    case Verb::member_state:
      return groups->on_member_state(message.as<MemberStateEvent>());
    case Verb::circuit_damaged:
      return circuits->on_damaged(message.as<CircuitDamagedEvent>().route);
    case Verb::miss:
      return groups->on_miss(message.as<MissEvent>().group);
    default:
      return;
  }
}

void Core::Parts::on(const PacketIn& event) {
  const ControlPacket& packet = event.packet;
  const PacketType type{packet.type};
  switch (packet.kind) {
    case SlotKind::handshake:
      return links->on_frame(packet);
    case SlotKind::link_packet:
      if (type == PacketType::handshake) return links->on_packet(packet);
      if (type == PacketType::signal) return circuits->on_signal(packet.link, payload_of(packet));
      return;
    case SlotKind::route_packet: {
      const Circuit* circuit = circuits->find(packet.route);
      if (circuit == nullptr) return;
      if (type == PacketType::pong) return requests->on_pong(packet);
      if (type == PacketType::handshake) sessions.on_packet(circuit->peer, payload_of(packet), circuit->leg().link);
      return;
    }
  }
}

void Core::Parts::tick() {
  if (context.planner.attached()) {
    links->tick();
    sessions.tick();
    context.planner.tick(context.now);
  }
  circuits->tick();
  groups->tick();
  requests->tick();
  if (context.network.refresh()) rebuild();
  if (groups->take_changed()) destinations->choose();
}

/// Until nothing follows from what happened: due timers, one batch, and those who waited for rows that stand.
void Core::Parts::settle() {
  for (bool more = true; more;) {
    tick();
    if (auto batch = context.planner.next_batch()) context.out.install(std::move(*batch));
    const std::vector<Waiter> done = context.planner.take_done();
    for (const Waiter& waiter : done) std::visit([&](const auto& each) { on_installed(each); }, waiter);
    for (const RouteId route : context.planner.take_gone()) context.routes.release(route, context.now);
    more = !done.empty();
  }
}

bool Core::wants_reattachment() const {
  return parts_->context.planner.stalled();
}

static std::vector<std::pair<std::string, uint64_t>> refusals(const Context& context) {
  std::vector<std::pair<std::string, uint64_t>> rows;
  for (size_t reason = 0; reason < kReasons; ++reason) {
    rows.emplace_back(name_of(static_cast<Reason>(reason)), context.handshakes_refused[reason]);
  }
  return rows;
}

Snapshot Core::snapshot(TimeNs now) const {
  Parts& parts = *parts_;
  parts.context.now = now;
  const Network& network = parts.context.network;
  const Planner& planner = parts.context.planner;
  Snapshot snapshot{.node = network.topology().at(network.self()).name,
                    .domain = network.domain_of(network.self()).name,
                    .as_number = network.domain_of(network.self()).as_number,
                    .address = to_string(IpAddress{.bytes = network.address(), .family = Family::ipv6}),
                    .uptime_ns = now - parts.started_ns,
                    .topology_version = network.version(),
                    .handshakes_refused = refusals(parts.context),
                    .session_handshakes = parts.context.session_handshakes,
                    .install = {.attached = planner.attached(),
                                .in_flight = planner.in_flight(),
                                .boot_id = parts.context.boot_id,
                                .generation = planner.generation(),
                                .rows = planner.rows(),
                                .pending = planner.pending(),
                                .refused = planner.refused(),
                                .orphans = planner.orphans()},
                    .links = parts.links->snapshot(),
                    .paths = parts.groups->paths_snapshot(),
                    .circuits = parts.circuits->snapshot(),
                    .groups = parts.groups->snapshot(),
                    .sessions = parts.sessions.snapshot(),
                    .destinations = parts.destinations->snapshot()};
  for (CircuitSnapshot& row : snapshot.circuits) {
    const Group* group = row.member ? parts.groups->find(row.group) : nullptr;
    if (group == nullptr || !group->slots[row.slot]) continue;
    row.weight = parts.groups->weight_of(*parts.circuits->find(*group->slots[row.slot]));
  }
  return snapshot;
}

}  // namespace sky::controlplane
