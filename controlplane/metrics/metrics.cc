#include "controlplane/metrics/metrics.h"

#include <algorithm>
#include <cassert>
#include <ranges>
#include <utility>

#include "dataplane/base/units.h"

namespace sky::controlplane {
namespace {

constexpr auto kCounter = prometheus::MetricType::Counter;
constexpr auto kGauge = prometheus::MetricType::Gauge;

double seconds(uint64_t value_ns) {
  return static_cast<double>(value_ns) / static_cast<double>(kSecondNs);
}

double seconds_since(uint64_t now_ns, uint64_t at_ns) {
  return seconds(now_ns - std::min(now_ns, at_ns));
}

/// Calls `each(name, words)` for every configured object that the counter page has.
template <typename Config, typename Rows, typename Each>
void for_each_named(const std::vector<Config>& configured, const Rows& rows, Each each) {
  for (size_t i = 0; i < std::min(configured.size(), rows.size()); ++i) each(configured[i].name, rows[i]);
}

template <typename Each>
void for_each_port(const Look& look, Each each) {
  if (look.context.counters != nullptr) for_each_named(look.context.router.ports, look.context.counters->ports(), each);
}

template <typename Each>
void for_each_link(const Look& look, Each each) {
  if (look.context.counters != nullptr) for_each_named(look.context.router.links, look.context.counters->links(), each);
}

template <typename Each>
void for_each_worker(const Look& look, Each each) {
  if (look.context.counters == nullptr) return;
  for (size_t i = 0; const WorkerStats& stats : look.context.counters->workers()) each(std::to_string(i++), stats);
}

// Collectors: what each row of the list below names as the source of its values.

template <StatsWord PortStats::*word>
void port(const Look& look, Samples& samples) {
  for_each_port(look, [&](const auto& name, const auto& sum) { samples.add(static_cast<double>(sum(word)), {name}); });
}

template <StatsWord QueueStats::*word>
void queue(const Look& look, Samples& samples) {
  for_each_port(look, [&](const auto& name, const auto& sum) {
    for (unsigned level = 0; level < kQueues; ++level)
      samples.add(static_cast<double>(sum(of_queue(level, word))), {name, kQueueNames[level]});
  });
}

template <StatsWord LinkStats::*word>
void link(const Look& look, Samples& samples) {
  for_each_link(look, [&](const auto& name, const auto& sum) { samples.add(static_cast<double>(sum(word)), {name}); });
}

void link_rtt(const Look& look, Samples& samples) {
  for_each_link(look, [&](const auto& name, const auto& sum) {
    if (const uint64_t rtt_ns = sum(&LinkStats::rtt_ns); rtt_ns > 0) samples.add(seconds(rtt_ns), {name});
  });
}

void link_silence(const Look& look, Samples& samples) {
  for_each_link(look, [&](const auto& name, const auto& sum) {
    const uint64_t heard_ns = sum(&LinkStats::heard_ns);
    if (heard_ns > 0) samples.add(seconds_since(look.context.now_ns, heard_ns), {name});
  });
}

template <Counter counter>
void worker(const Look& look, Samples& samples) {
  for_each_worker(look, [&](const auto& number, const WorkerStats& stats) {
    samples.add(static_cast<double>(stats.counters[std::to_underlying(counter)].get()), {number});
  });
}

void worker_busy(const Look& look, Samples& samples) {
  for_each_worker(look,
                  [&](const auto& number, const auto& stats) { samples.add(seconds(stats.busy_ns.get()), {number}); });
}

void worker_heartbeat(const Look& look, Samples& samples) {
  for_each_worker(look, [&](const auto& number, const auto& stats) {
    samples.add(seconds_since(look.context.now_ns, stats.heartbeat_ns.get()), {number});
  });
}

void worker_stretch(const Look& look, Samples& samples) {
  for_each_worker(look, [&](const auto& number, const auto& stats) {
    samples.add(static_cast<double>(stats.timer_stretch.get()), {number});
  });
}

template <StatsWord StageStats::*word>
void stage(const Look& look, Samples& samples) {
  for_each_worker(look, [&](const auto& number, const auto& stats) {
    for (size_t i = 0; i < kStages; ++i)
      samples.add(static_cast<double>((stats.stages[i].*word).get()), {number, kStageNames[i]});
  });
}

void drops(const Look& look, Samples& samples) {
  if (look.context.counters == nullptr) return;
  for (size_t reason = 0; reason < kDropReasons; ++reason) {
    const uint64_t sum = look.context.counters->sum(static_cast<Drop>(reason));
    samples.add(static_cast<double>(sum), {kDropNames[reason]});
  }
}

template <StatsWord StatsHeader::*word>
void header(const Look& look, Samples& samples) {
  if (look.context.counters != nullptr) samples.add(static_cast<double>((look.context.counters->header().*word).get()));
}

template <StatsWord StatsHeader::*word>
void header_age(const Look& look, Samples& samples) {
  if (look.context.counters != nullptr)
    samples.add(seconds_since(look.context.now_ns, (look.context.counters->header().*word).get()));
}

void under_way(const Look& look, Samples& samples) {
  if (look.context.counters == nullptr) return;
  const Accounting sides = accounting(*look.context.counters);
  samples.add(static_cast<double>(static_cast<int64_t>(sides.in - sides.out)));
}

template <uint64_t MemberSums::*word>
void members(const Look& look, Samples& samples) {
  if (look.context.counters != nullptr) samples.add(static_cast<double>(look.members.*word));
}

template <uint64_t MemberSums::*word>
void kept(const Look& look, Samples& samples) {
  if (look.context.counters == nullptr) return;
  for (const auto& [node, sums] : look.kept) samples.add(static_cast<double>(sums.*word), {node});
}

/// The groups that lead to nodes of circuits.keep.
auto kept_groups(const Look& look) {
  return look.context.snapshot.groups | std::views::filter(&GroupSnapshot::kept);
}

void kept_live(const Look& look, Samples& samples) {
  for (const GroupSnapshot& group : kept_groups(look)) {
    const auto live = std::ranges::count_if(group.members, &MemberSnapshot::live);
    samples.add(static_cast<double>(live), {group.node});
  }
}

/// Of the member that carries the traffic, as the counter page knows it.
void kept_rtt(const Look& look, Samples& samples) {
  if (look.context.counters == nullptr) return;
  const auto& stats = look.context.counters->members();
  for (const GroupSnapshot& group : kept_groups(look)) {
    const auto used = std::ranges::max_element(
        group.members, {}, [](const MemberSnapshot& member) { return std::pair(member.live, member.weight); });
    if (used == group.members.end() || !used->live) continue;
    const size_t at = size_t{to_underlying(group.index)} * kMaxMembers + used->slot;
    const uint64_t rtt_ns = at < stats.size() ? stats[at](&MemberStats::rtt_ns) : 0;
    if (rtt_ns > 0) samples.add(seconds(rtt_ns), {group.node});
  }
}

void info(const Look& look, Samples& samples) {
  const Snapshot& snapshot = look.context.snapshot;
  samples.add(1, {snapshot.node, snapshot.domain, std::to_string(snapshot.as_number), snapshot.address});
}

void attached(const Look& look, Samples& samples) {
  samples.add(look.context.counters != nullptr ? 1 : 0);
}

void uptime(const Look& look, Samples& samples) {
  samples.add(seconds(look.context.snapshot.uptime_ns));
}

void setups_sent(const Look& look, Samples& samples) {
  samples.add(static_cast<double>(look.context.setups_sent));
}

void handshakes_refused(const Look& look, Samples& samples) {
  for (const auto& [reason, count] : look.context.snapshot.handshakes_refused)
    samples.add(static_cast<double>(count), {reason});
}

void session_handshakes(const Look& look, Samples& samples) {
  samples.add(static_cast<double>(look.context.snapshot.session_handshakes));
}

void link_handshakes(const Look& look, Samples& samples) {
  for (const LinkSnapshot& link : look.context.snapshot.links)
    samples.add(static_cast<double>(link.handshakes), {link.name});
}

void link_key_age(const Look& look, Samples& samples) {
  for (const LinkSnapshot& link : look.context.snapshot.links) {
    if (link.key_age_ns > 0) samples.add(seconds(link.key_age_ns), {link.name});
  }
}

void link_info(const Look& look, Samples& samples) {
  for (const LinkSnapshot& link : look.context.snapshot.links) samples.add(1, {link.name, link.peer, link.port});
}

void circuits(const Look& look, Samples& samples) {
  std::map<std::pair<std::string_view, std::string_view>, unsigned> counts;
  for (const std::string_view role : {"ingress", "transit", "egress"}) {
    for (const std::string_view state : {"setup", "installing", "up"}) counts[{role, state}] = 0;
  }
  for (const CircuitSnapshot& circuit : look.context.snapshot.circuits) ++counts[{circuit.role, circuit.state}];
  for (const auto& [words, count] : counts) samples.add(count, {words.first, words.second});
}

template <typename Rows>
void by_state(const Rows& rows, std::initializer_list<std::string_view> states, Samples& samples) {
  std::map<std::string_view, unsigned> counts;
  for (const std::string_view state : states) counts[state] = 0;
  for (const auto& row : rows) ++counts[row.state];
  for (const auto& [state, count] : counts) samples.add(count, {state});
}

void sessions(const Look& look, Samples& samples) {
  by_state(look.context.snapshot.sessions, {"handshaking", "answered", "up"}, samples);
}

void groups(const Look& look, Samples& samples) {
  by_state(look.context.snapshot.groups, {"idle", "waiting", "up", "dead"}, samples);
}

void links(const Look& look, Samples& samples) {
  by_state(look.context.snapshot.links, {"handshaking", "down", "up"}, samples);
}

void destinations(const Look& look, Samples& samples) {
  samples.add(static_cast<double>(look.context.snapshot.destinations.size()));
}

template <size_t InstallSnapshot::*rows>
void installed(const Look& look, Samples& samples) {
  samples.add(static_cast<double>(look.context.snapshot.install.*rows));
}

constexpr Metric kMetrics[] = {
    // The node and its two processes.
    {"skyedge_info", kGauge, "node domain as_number address", "Always 1: who this is", info},
    {"skyedge_controlplane_uptime_seconds", kGauge, "", "Since the control plane started", uptime},
    {"skyedge_dataplane_attached", kGauge, "", "1 while a dataplane is attached; without one, what it counts is absent",
     attached},
    {"skyedge_dataplane_uptime_seconds", kGauge, "", "Since the dataplane started, and its counters with it",
     header_age<&StatsHeader::started_ns>},
    {"skyedge_dataplane_heartbeat_age_seconds", kGauge, "", "Since the last turn of the main core",
     header_age<&StatsHeader::heartbeat_ns>},
    {"skyedge_dataplane_attachments_total", kCounter, "", "Control planes that attached",
     header<&StatsHeader::attachments>},
    {"skyedge_dataplane_batches_total", kCounter, "", "Batches applied", header<&StatsHeader::batches>},
    {"skyedge_dataplane_batches_refused_total", kCounter, "", "Batches refused", header<&StatsHeader::batches_refused>},
    {"skyedge_dataplane_rules", kGauge, "", "Rules that stand", header<&StatsHeader::rules>},
    {"skyedge_dataplane_buffers", kGauge, "", "Packet buffers in all pools", header<&StatsHeader::buffers>},
    {"skyedge_dataplane_buffers_free", kGauge, "", "Packet buffers that are free", header<&StatsHeader::buffers_free>},
    {"skyedge_dataplane_under_way_packets", kGauge, "", "Left less right side of the accounting equation: 0 at rest",
     under_way},
    {"skyedge_dropped_packets_total", kCounter, "reason", "Packets lost, by the one reason that each has", drops},

    // Workers: the terms of the accounting equation, what copied streams did without, their time.
    {"skyedge_worker_received_frames_total", kCounter, "worker", "Frames taken from ports", worker<Counter::received>},
    {"skyedge_worker_injected_control_packets_total", kCounter, "worker",
     "Packets from the control plane and the main core", worker<Counter::injected_control>},
    {"skyedge_worker_injected_probe_packets_total", kCounter, "worker", "Liveness, circuit probes and their answers",
     worker<Counter::injected_probe>},
    {"skyedge_worker_injected_tun_packets_total", kCounter, "worker", "Packets read from the TUN",
     worker<Counter::injected_tun>},
    {"skyedge_worker_copied_packets_total", kCounter, "worker", "Extra copies of copied streams",
     worker<Counter::copied>},
    {"skyedge_worker_taken_over_packets_total", kCounter, "worker", "Packets that another worker handed on to this one",
     worker<Counter::taken_over>},
    {"skyedge_worker_transmitted_frames_total", kCounter, "worker", "Frames given to ports",
     worker<Counter::transmitted>},
    {"skyedge_worker_delivered_tun_packets_total", kCounter, "worker", "Packets written to the TUN",
     worker<Counter::delivered_tun>},
    {"skyedge_worker_delivered_local_packets_total", kCounter, "worker",
     "Liveness, probes and lists that end in the worker", worker<Counter::delivered_local>},
    {"skyedge_worker_punted_packets_total", kCounter, "worker", "Packets handed to the control plane",
     worker<Counter::punted>},
    {"skyedge_worker_handed_over_packets_total", kCounter, "worker",
     "Packets handed on to the worker that owns their stream or link", worker<Counter::handed_over>},
    {"skyedge_worker_held_packets", kGauge, "worker", "Packets that wait for a circuit", worker<Counter::held>},
    {"skyedge_worker_queued_frames", kGauge, "worker", "Frames that wait for room in a port", worker<Counter::queued>},
    {"skyedge_worker_copy_alone_packets_total", kCounter, "worker",
     "Of copy groups, sent once: no second circuit or buffer", worker<Counter::copy_alone>},
    {"skyedge_worker_copy_over_rate_packets_total", kCounter, "worker",
     "Of copy groups, sent once: the group's rate was spent", worker<Counter::copy_over_rate>},
    {"skyedge_worker_loops_total", kCounter, "worker", "Turns of the poll loop", worker<Counter::loops>},
    {"skyedge_worker_sleeps_total", kCounter, "worker", "Turns that ended asleep", worker<Counter::sleeps>},
    {"skyedge_worker_busy_seconds_total", kCounter, "worker", "Time in turns that found work", worker_busy},
    {"skyedge_worker_heartbeat_age_seconds", kGauge, "worker", "Since the last turn", worker_heartbeat},
    {"skyedge_worker_timer_stretch_ratio", kGauge, "worker",
     "Intervals of liveness and probes over the configured ones; above 1 they took too long", worker_stretch},

    {"skyedge_stage_calls_total", kCounter, "worker stage", "Bursts of a stage, in the turns that are timed: one of 17",
     stage<&StageStats::calls>},
    {"skyedge_stage_packets_total", kCounter, "worker stage", "Packets that came into it in these turns",
     stage<&StageStats::packets>},
    {"skyedge_stage_clocks_total", kCounter, "worker stage", "Clocks of the TSC that it took in these turns",
     stage<&StageStats::clocks>},

    // Ports.
    {"skyedge_port_up", kGauge, "port", "1 while the port has a carrier", port<&PortStats::up>},
    {"skyedge_port_received_frames_total", kCounter, "port", "Frames that came", port<&PortStats::received>},
    {"skyedge_port_received_bytes_total", kCounter, "port", "Bytes that came", port<&PortStats::received_bytes>},
    {"skyedge_port_transmitted_frames_total", kCounter, "port queue", "Frames that the port took",
     queue<&QueueStats::transmitted>},
    {"skyedge_port_transmitted_bytes_total", kCounter, "port queue", "Bytes that the port took",
     queue<&QueueStats::transmitted_bytes>},
    {"skyedge_port_queued_frames", kGauge, "port queue", "Frames that wait for room in the port",
     queue<&QueueStats::queued>},
    {"skyedge_port_full_frames_total", kCounter, "port", "Frames dropped as the port took no more",
     port<&PortStats::full>},

    // Links.
    {"skyedge_link_info", kGauge, "link peer port", "Always 1: whom the link leads to, and by which port", link_info},
    {"skyedge_link_up", kGauge, "link", "1 while the neighbour is heard", link<&LinkStats::up>},
    {"skyedge_link_flaps_total", kCounter, "link", "Times it went down", link<&LinkStats::flaps>},
    {"skyedge_link_rtt_seconds", kGauge, "link", "Round trip to the neighbour, smoothed; absent until it is known",
     link_rtt},
    {"skyedge_link_silence_seconds", kGauge, "link", "Since the last authentic frame; absent until there was one",
     link_silence},
    {"skyedge_link_received_frames_total", kCounter, "link", "Authentic frames that came", link<&LinkStats::received>},
    {"skyedge_link_received_bytes_total", kCounter, "link", "Their bytes behind the Ethernet header",
     link<&LinkStats::received_bytes>},
    {"skyedge_link_transmitted_frames_total", kCounter, "link", "Frames sent", link<&LinkStats::transmitted>},
    {"skyedge_link_transmitted_bytes_total", kCounter, "link", "Their bytes behind the Ethernet header",
     link<&LinkStats::transmitted_bytes>},
    {"skyedge_link_bad_tag_frames_total", kCounter, "link", "Frames that did not authenticate",
     link<&LinkStats::bad_tags>},
    {"skyedge_link_replayed_frames_total", kCounter, "link", "Frames that came before, or too late",
     link<&LinkStats::replays>},
    {"skyedge_link_over_rate_frames_total", kCounter, "link", "Frames dropped beyond what is taken of the neighbour",
     link<&LinkStats::over_rate>},
    {"skyedge_link_demoted_packets_total", kCounter, "link",
     "Packets from it beyond a rate or its realtime budget: they went on in the last queue", link<&LinkStats::demoted>},
    {"skyedge_link_marked_packets_total", kCounter, "link", "Packets to it that were marked as congested",
     link<&LinkStats::marked>},
    {"skyedge_link_send_epoch", kGauge, "link", "Epoch byte of the key that frames are sealed with",
     link<&LinkStats::send_epoch>},
    {"skyedge_link_send_keys_total", kCounter, "link",
     "Keys that frames began to be sealed with: each but the first is a rekey", link<&LinkStats::send_keys>},
    {"skyedge_link_handshakes_total", kCounter, "link", "Handshakes that ended well", link_handshakes},
    {"skyedge_link_key_age_seconds", kGauge, "link", "Since the last handshake; absent while none is known of",
     link_key_age},
    {"skyedge_links", kGauge, "state", "Links, by state", links},

    // Circuits that begin or end here: their members of groups.
    {"skyedge_circuit_packets_total", kCounter, "", "Packets sent by circuits that begin or end here",
     members<&MemberSums::packets>},
    {"skyedge_circuit_bytes_total", kCounter, "", "Their bytes", members<&MemberSums::bytes>},
    {"skyedge_circuit_damaged_packets_total", kCounter, "", "Datagrams that came by them and did not open",
     members<&MemberSums::damaged>},
    {"skyedge_circuit_probes_total", kCounter, "", "Probes sent", members<&MemberSums::probes_sent>},
    {"skyedge_circuit_probes_lost_total", kCounter, "", "Probes without an answer", members<&MemberSums::probes_lost>},
    {"skyedge_circuit_deaths_total", kCounter, "", "Deaths that probes found", members<&MemberSums::deaths>},
    {"skyedge_circuit_deaths_by_list_total", kCounter, "", "Deaths that a list of dead routes told of",
     members<&MemberSums::deaths_by_list>},
    {"skyedge_circuits", kGauge, "role state", "Circuits, by what this node is to them and by state", circuits},
    {"skyedge_groups", kGauge, "state", "Groups of circuits, one for each node that is sent to, by state", groups},

    // The same for each node of circuits.keep.
    {"skyedge_kept_circuits_live", kGauge, "node", "Live circuits to the node", kept_live},
    {"skyedge_kept_rtt_seconds", kGauge, "node", "Round trip over the circuit that traffic takes; absent without one",
     kept_rtt},
    {"skyedge_kept_packets_total", kCounter, "node", "Packets sent by circuits to the node",
     kept<&MemberSums::packets>},
    {"skyedge_kept_bytes_total", kCounter, "node", "Their bytes", kept<&MemberSums::bytes>},
    {"skyedge_kept_damaged_packets_total", kCounter, "node", "Datagrams that came by them and did not open",
     kept<&MemberSums::damaged>},
    {"skyedge_kept_probes_total", kCounter, "node", "Probes sent", kept<&MemberSums::probes_sent>},
    {"skyedge_kept_probes_lost_total", kCounter, "node", "Probes without an answer", kept<&MemberSums::probes_lost>},
    {"skyedge_kept_deaths_total", kCounter, "node", "Deaths that probes found", kept<&MemberSums::deaths>},
    {"skyedge_kept_deaths_by_list_total", kCounter, "node", "Deaths that a list of dead routes told of",
     kept<&MemberSums::deaths_by_list>},

    // The control plane.
    {"skyedge_setups_sent_total", kCounter, "", "SETUPs sent as ingress, refreshes left out", setups_sent},
    {"skyedge_handshakes_refused_total", kCounter, "reason", "Handshake messages refused", handshakes_refused},
    {"skyedge_session_handshakes_total", kCounter, "", "Handshakes of sessions that ended well", session_handshakes},
    {"skyedge_session_send_keys_total", kCounter, "",
     "Keys that sessions began to seal with: each but a session's first is a rekey",
     header<&StatsHeader::session_send_keys>},
    {"skyedge_sessions", kGauge, "state", "End-to-end sessions, by state", sessions},
    {"skyedge_destinations", kGauge, "", "Prefixes that lead somewhere", destinations},
    {"skyedge_install_rows", kGauge, "", "Rows that the dataplane should have", installed<&InstallSnapshot::rows>},
    {"skyedge_install_pending_rows", kGauge, "", "Rows that differ from what stands",
     installed<&InstallSnapshot::pending>},
    {"skyedge_install_refused_rows", kGauge, "", "Rows that the dataplane does not take",
     installed<&InstallSnapshot::refused>},
    {"skyedge_install_orphan_rows", kGauge, "", "Rows found that nobody wants: deleted after a refresh",
     installed<&InstallSnapshot::orphans>},
};

void add(MemberSums& sums, const MemberStats& stats) {
  sums.packets += stats.packets.get();
  sums.bytes += stats.bytes.get();
  sums.damaged += stats.damaged.get();
  sums.deaths += stats.deaths.get();
  sums.deaths_by_list += stats.deaths_by_list.get();
  sums.probes_sent += stats.probes_sent.get();
  sums.probes_lost += stats.probes_lost.get();
}

}  // namespace

Look::Look(const ViewContext& seen) : context(seen) {
  if (seen.counters == nullptr) return;
  const Summed<MemberStats>& stats = seen.counters->members();
  for (const MemberStats& row : stats.rows()) add(members, row);
  for (const GroupSnapshot& group : kept_groups(*this)) {
    MemberSums& sums = kept[group.node];
    const size_t first = size_t{to_underlying(group.index)} * kMaxMembers;
    if (first >= stats.size()) continue;
    for (size_t at = first; at < stats.rows().size(); at += stats.size()) {
      for (const MemberStats& row : stats.rows().subspan(at, kMaxMembers)) add(sums, row);
    }
  }
}

void Samples::add(double value, std::initializer_list<std::string_view> values) {
  prometheus::ClientMetric& sample = family_.metric.emplace_back();
  (family_.type == kCounter ? sample.counter.value : sample.gauge.value) = value;
  auto next = values.begin();
  for (const auto name : labels_ | std::views::split(' ')) {
    assert(next != values.end());
    sample.label.push_back({std::string(name.begin(), name.end()), std::string(*next++)});
  }
  assert(next == values.end());
}

std::span<const Metric> metrics() {
  return kMetrics;
}

}  // namespace sky::controlplane
