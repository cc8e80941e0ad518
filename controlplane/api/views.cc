#include "controlplane/api/views.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "controlplane/api/health.h"
#include "dataplane/base/units.h"

namespace sky::controlplane {
namespace {

Json names(const std::vector<std::string>& all) {
  return Json(all);
}

std::string_view name_of(FrameKind kind) {
  return kind == FrameKind::frame ? "frame" : kind == FrameKind::header ? "header" : "clear";
}

std::string_view name_of(Suite suite) {
  if (suite == Suite::aes_256_gcm) return "aes-256-gcm";
  return suite == Suite::chacha20_poly1305 ? "chacha20-poly1305" : "";
}

uint64_t age(uint64_t now_ns, uint64_t at_ns) {
  return at_ns == 0 || at_ns > now_ns ? 0 : now_ns - at_ns;
}

Json links_view(const ViewContext& context) {
  Json all = Json::array();
  for (const LinkSnapshot& link : context.snapshot.links) {
    Json row{{"index", to_underlying(link.index)},
             {"link", link.name},
             {"peer", link.peer},
             {"port", link.port},
             {"state", link.state},
             {"age_ns", link.age_ns},
             {"mtu", link.mtu},
             {"peer_mac", link.peer_mac},
             {"protection", name_of(link.kind)},
             {"suite", name_of(link.suite)},
             {"handshakes", link.handshakes},
             {"key_id", fmt::format("{:016x}", link.key_id)},
             {"key_age_ns", link.key_age_ns},
             {"last_refusal", link.last_refusal}};
    const size_t index = to_underlying(link.index);
    if (context.counters != nullptr && index < context.counters->links().size()) {
      const auto sum = context.counters->links()[index];
      row.update({{"live", sum(&LinkStats::up) != 0},
                  {"rtt_us", sum(&LinkStats::rtt_ns) / kMicrosecondNs},
                  {"flaps", sum(&LinkStats::flaps)},
                  {"heard_ago_ns", age(context.now_ns, sum(&LinkStats::heard_ns))},
                  {"received", sum(&LinkStats::received)},
                  {"received_bytes", sum(&LinkStats::received_bytes)},
                  {"transmitted", sum(&LinkStats::transmitted)},
                  {"transmitted_bytes", sum(&LinkStats::transmitted_bytes)},
                  {"bad_tags", sum(&LinkStats::bad_tags)},
                  {"over_rate", sum(&LinkStats::over_rate)},
                  {"demoted", sum(&LinkStats::demoted)},
                  {"marked", sum(&LinkStats::marked)},
                  {"replays", sum(&LinkStats::replays)},
                  {"send_epoch", sum(&LinkStats::send_epoch)},
                  {"send_keys", sum(&LinkStats::send_keys)}});
    }
    all.push_back(std::move(row));
  }
  return all;
}

Json paths_view(const ViewContext& context) {
  Json all = Json::array();
  for (const PathSnapshot& path : context.snapshot.paths) {
    all.push_back({{"to", path.to},
                   {"rank", path.rank},
                   {"nodes", names(path.nodes)},
                   {"links", names(path.links)},
                   {"delay_us", path.delay_ns / kMicrosecondNs},
                   {"circuit", path.circuit}});
  }
  return all;
}

void add_member_stats(Json& row, const ViewContext& context, GroupIndex group, uint8_t slot) {
  if (context.counters == nullptr) return;
  const size_t at = size_t{to_underlying(group)} * kMaxMembers + slot;
  if (at >= context.counters->members().size()) return;
  const auto sum = context.counters->members()[at];
  row.update({{"rtt_us", sum(&MemberStats::rtt_ns) / kMicrosecondNs},
              {"packets", sum(&MemberStats::packets)},
              {"bytes", sum(&MemberStats::bytes)},
              {"deaths", sum(&MemberStats::deaths) + sum(&MemberStats::deaths_by_list)},
              {"damaged", sum(&MemberStats::damaged)},
              {"probes_sent", sum(&MemberStats::probes_sent)},
              {"probes_lost", sum(&MemberStats::probes_lost)}});
}

Json circuits_view(const ViewContext& context) {
  Json all = Json::array();
  for (const CircuitSnapshot& circuit : context.snapshot.circuits) {
    Json row{{"circuit", circuit.circuit},
             {"role", circuit.role},
             {"state", circuit.state},
             {"from", circuit.from},
             {"to", circuit.to},
             {"nodes", names(circuit.nodes)},
             {"links", names(circuit.links)},
             {"upstream_link", circuit.upstream_link},
             {"downstream_link", circuit.downstream_link},
             {"upstream_alternate", circuit.upstream_alternate},
             {"downstream_alternate", circuit.downstream_alternate},
             {"route_from_upstream", to_underlying(circuit.route_from_upstream)},
             {"route_from_downstream", to_underlying(circuit.route_from_downstream)},
             {"age_ns", circuit.age_ns},
             {"refreshed_ago_ns", circuit.refreshed_ns},
             {"expires_in_ns", circuit.expires_in_ns},
             {"mtu", circuit.mtu}};
    if (circuit.member) {
      row.update({{"group", to_underlying(circuit.group)},
                  {"slot", circuit.slot},
                  {"live", circuit.live},
                  {"weight", circuit.weight},
                  {"session", to_underlying(circuit.session)}});
      add_member_stats(row, context, circuit.group, circuit.slot);
    }
    all.push_back(std::move(row));
  }
  return all;
}

Json groups_view(const ViewContext& context) {
  Json all = Json::array();
  for (const GroupSnapshot& group : context.snapshot.groups) {
    Json members = Json::array();
    for (const MemberSnapshot& member : group.members) {
      Json row{{"slot", member.slot},         {"circuit", member.circuit}, {"own", member.own},
               {"live", member.live},         {"weight", member.weight},   {"mtu", member.mtu},
               {"nodes", names(member.nodes)}};
      add_member_stats(row, context, group.index, member.slot);
      members.push_back(std::move(row));
    }
    all.push_back({{"group", to_underlying(group.index)},
                   {"node", group.node},
                   {"domain", group.domain},
                   {"as_number", group.as_number},
                   {"address", group.address},
                   {"state", group.state},
                   {"kept", group.kept},
                   {"mode", group.copy_rate == 0 ? "pin" : "copy"},
                   {"copies", group.copies},
                   {"copy_rate", group.copy_rate},
                   {"copy_window", group.copy_window},
                   {"copies_share", group.copies_share},
                   {"used_ago_ns", group.used_ns},
                   {"members", std::move(members)}});
  }
  return all;
}

Json sessions_view(const ViewContext& context) {
  Json all = Json::array();
  for (const SessionSnapshot& session : context.snapshot.sessions) {
    all.push_back({{"session", to_underlying(session.index)},
                   {"peer", session.peer},
                   {"state", session.state},
                   {"key_id", fmt::format("{:016x}", session.key_id)},
                   {"key_age_ns", session.key_age_ns},
                   {"handshakes", session.handshakes},
                   {"circuits", session.circuits},
                   {"last_refusal", session.last_refusal}});
  }
  return all;
}

Json destinations_view(const ViewContext& context) {
  Json all = Json::array();
  for (const DestinationSnapshot& destination : context.snapshot.destinations) {
    Json row{{"prefix", destination.prefix},
             {"node", destination.node},
             {"domain", destination.domain},
             {"state", destination.state},
             {"local", destination.local}};
    if (!destination.local) row["group"] = to_underlying(destination.group);
    all.push_back(std::move(row));
  }
  return all;
}

Json ports_view(const ViewContext& context) {
  Json all = Json::array();
  for (size_t i = 0; i < context.router.ports.size(); ++i) {
    const PortConfig& port = context.router.ports[i];
    Json row{{"index", i}, {"port", port.name}, {"device", port.device}, {"mtu", port.mtu}};
    if (context.counters != nullptr && i < context.counters->ports().size()) {
      const auto sum = context.counters->ports()[i];
      const auto in_queues = [&sum](auto word) {
        uint64_t all_of_them = 0;
        for (unsigned level = 0; level < kQueues; ++level) all_of_them += sum(of_queue(level, word));
        return all_of_them;
      };
      row.update({{"up", sum(&PortStats::up) != 0},
                  {"received", sum(&PortStats::received)},
                  {"received_bytes", sum(&PortStats::received_bytes)},
                  {"transmitted", in_queues(&QueueStats::transmitted)},
                  {"transmitted_bytes", in_queues(&QueueStats::transmitted_bytes)},
                  {"queued", in_queues(&QueueStats::queued)},
                  {"full", sum(&PortStats::full)}});
    }
    all.push_back(std::move(row));
  }
  return all;
}

Json queues_view(const ViewContext& context) {
  Json all = Json::array();
  if (context.counters == nullptr) return all;
  const size_t ports = std::min(context.router.ports.size(), context.counters->ports().size());
  for (size_t port = 0; port < ports; ++port) {
    const auto sum = context.counters->ports()[port];
    for (unsigned level = 0; level < kQueues; ++level) {
      all.push_back({{"port", context.router.ports[port].name},
                     {"queue", kQueueNames[level]},
                     {"transmitted", sum(of_queue(level, &QueueStats::transmitted))},
                     {"transmitted_bytes", sum(of_queue(level, &QueueStats::transmitted_bytes))},
                     {"queued", sum(of_queue(level, &QueueStats::queued))}});
    }
  }
  return all;
}

Json workers_view(const ViewContext& context) {
  Json all = Json::array();
  if (context.counters == nullptr) return all;
  for (size_t i = 0; i < context.counters->workers().size(); ++i) {
    const WorkerStats& stats = context.counters->workers()[i];
    Json row{{"worker", i}};
    if (i < context.router.dataplane.workers.size()) row["core"] = context.router.dataplane.workers[i];
    row["heartbeat_ago_ns"] = age(context.now_ns, stats.heartbeat_ns.get());
    row["busy_ns"] = stats.busy_ns.get();
    row["timer_stretch"] = stats.timer_stretch.get();
    for (size_t counter = 0; counter < kCounters; ++counter) {
      row[std::string(kCounterNames[counter])] = stats.counters[counter].get();
    }
    uint64_t drops = 0;
    for (const StatsWord& reason : stats.drops) drops += reason.get();
    row["drops"] = drops;
    all.push_back(std::move(row));
  }
  return all;
}

double tenths(uint64_t of, uint64_t each) {
  return std::round(10.0 * static_cast<double>(of) / static_cast<double>(each)) / 10;
}

/// Where each worker's clocks go; stages that nothing came to are left out.
Json stages_view(const ViewContext& context) {
  Json all = Json::array();
  if (context.counters == nullptr) return all;
  for (size_t worker = 0; worker < context.counters->workers().size(); ++worker) {
    for (size_t stage = 0; stage < kStages; ++stage) {
      const StageStats& stats = context.counters->workers()[worker].stages[stage];
      const uint64_t calls = stats.calls.get(), packets = stats.packets.get(), clocks = stats.clocks.get();
      if (calls == 0 || packets == 0) continue;
      all.push_back({{"worker", worker},
                     {"stage", kStageNames[stage]},
                     {"calls", calls},
                     {"packets", packets},
                     {"clocks", clocks},
                     {"packets_per_call", tenths(packets, calls)},
                     {"clocks_per_packet", tenths(clocks, packets)}});
    }
  }
  return all;
}

/// Flat: every counter of the dataplane in sum, then both sides of the accounting equation, then the two processes.
Json counters_view(const ViewContext& context) {
  Json all = Json::object();
  if (context.counters != nullptr) {
    const Counters& counters = *context.counters;
    for (size_t i = 0; i < kCounters; ++i) all[std::string(kCounterNames[i])] = counters.sum(static_cast<Counter>(i));
    uint64_t drops = 0;
    for (size_t i = 0; i < kDropReasons; ++i) drops += counters.sum(static_cast<Drop>(i));
    const Accounting sides = accounting(counters);
    const StatsHeader& header = counters.header();
    all.update({{"drops", drops},
                {"accounting_in", sides.in},
                {"accounting_out", sides.out},
                {"under_way", static_cast<int64_t>(sides.in - sides.out)},
                {"dataplane_up_ns", age(context.now_ns, header.started_ns.get())},
                {"attachments", header.attachments.get()},
                {"batches", header.batches.get()},
                {"batches_refused", header.batches_refused.get()},
                {"rules", header.rules.get()},
                {"buffers", header.buffers.get()},
                {"buffers_free", header.buffers_free.get()},
                {"session_send_keys", header.session_send_keys.get()}});
  }
  all["setups_sent"] = context.setups_sent;
  all["session_handshakes"] = context.snapshot.session_handshakes;
  for (const auto& [reason, count] : context.snapshot.handshakes_refused) all["handshakes_refused_" + reason] = count;
  all["controlplane_up_ns"] = context.snapshot.uptime_ns;
  return all;
}

Json drops_view(const ViewContext& context) {
  Json all = Json::object();
  if (context.counters == nullptr) return all;
  for (size_t i = 0; i < kDropReasons; ++i) {
    all[std::string(kDropNames[i])] = context.counters->sum(static_cast<Drop>(i));
  }
  return all;
}

using View = Json (*)(const ViewContext&);
constexpr std::pair<std::string_view, View> kViews[] = {
    {"health", health_view},
    {"links", links_view},
    {"paths", paths_view},
    {"circuits", circuits_view},
    {"groups", groups_view},
    {"sessions", sessions_view},
    {"ports", ports_view},
    {"workers", workers_view},
    {"queues", queues_view},
    {"stages", stages_view},
    {"counters", counters_view},
    {"drops", drops_view},
    {"destinations", destinations_view},
};

}  // namespace

std::optional<Json> view(std::string_view what, const ViewContext& context) {
  const auto* found = std::ranges::find(kViews, what, &std::pair<std::string_view, View>::first);
  if (found == std::end(kViews)) return {};
  return found->second(context);
}

}  // namespace sky::controlplane
