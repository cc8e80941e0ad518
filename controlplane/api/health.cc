#include "controlplane/api/health.h"

#include <algorithm>

#include "dataplane/base/units.h"

namespace sky::controlplane {
namespace {

class Faults {
 public:
  void add(std::string fault, std::string next) {
    list_.push_back({{"fault", std::move(fault)}, {"next", std::move(next)}});
  }
  Json take() { return std::move(list_); }

 private:
  Json list_ = Json::array();
};

void judge_dataplane(const ViewContext& context, Faults& faults) {
  if (context.counters == nullptr) {
    faults.add("no dataplane: " + context.dataplane_error, "systemctl status skyedge-dataplane");
    return;
  }
  if (!context.snapshot.install.attached) {
    faults.add("the dataplane does not say what stands in its tables", "systemctl status skyedge-dataplane");
  }
  const auto silent = [&](uint64_t at_ns) { return at_ns + kHangNs < context.now_ns; };
  if (silent(context.counters->header().heartbeat_ns.get())) {
    faults.add("the dataplane's main core hangs", "systemctl restart skyedge-dataplane");
  }
  for (size_t i = 0; i < context.counters->workers().size(); ++i) {
    if (silent(context.counters->workers()[i].heartbeat_ns.get())) {
      faults.add(fmt::format("worker {} hangs", i), "systemctl restart skyedge-dataplane");
    }
    if (const uint64_t stretch = context.counters->workers()[i].timer_stretch.get(); stretch > 1) {
      faults.add(
          fmt::format("liveness and probes would take over 5 % of worker {}: {} times their intervals", i, stretch),
          "skyctl show workers");
    }
  }
  const uint64_t buffers = context.counters->header().buffers.get();
  if (buffers > 0 && context.counters->header().buffers_free.get() < buffers / 20) {
    faults.add("less than 5 % of the packet buffers are free", "skyctl show counters");
  }
}

void judge_ports(const ViewContext& context, Faults& faults) {
  if (context.counters == nullptr) return;
  const auto& stats = context.counters->ports();
  for (size_t i = 0; i < std::min(stats.size(), context.router.ports.size()); ++i) {
    if (stats[i](&PortStats::up) == 0) {
      faults.add(
          fmt::format("port {} ({}) has no carrier", context.router.ports[i].name, context.router.ports[i].device),
          "skyctl show ports");
    }
  }
}

void judge_links(const ViewContext& context, Faults& faults) {
  for (const LinkSnapshot& link : context.snapshot.links) {
    if (link.state == "up") continue;
    std::string fault = fmt::format("link {} to {} is {}", link.name, link.peer,
                                    link.state == "handshaking" ? "without keys" : link.state);
    if (!link.last_refusal.empty()) fault += ": " + link.last_refusal;
    faults.add(std::move(fault), "skyctl show links");
  }
}

void judge_groups(const ViewContext& context, Faults& faults) {
  for (const GroupSnapshot& group : context.snapshot.groups) {
    const bool asked_for = group.kept || std::ranges::any_of(group.members, &MemberSnapshot::own);
    if (group.state == "idle" || (!asked_for && group.state == "up")) continue;
    const auto paths = std::ranges::count(context.snapshot.paths, group.node, &PathSnapshot::to);
    const auto live = std::ranges::count_if(group.members, [](const auto& member) { return member.live; });
    if (live == 0) {
      faults.add(fmt::format("no live circuit to {}", group.node), "skyctl trace " + group.node);
    } else if (live < paths) {
      faults.add(fmt::format("{} of {} circuits to {} live", live, paths, group.node), "skyctl trace " + group.node);
    }
  }
}

Json summary(const ViewContext& context) {
  const auto& snapshot = context.snapshot;
  const auto up = [](const auto& items) {
    return std::ranges::count_if(items, [](const auto& item) { return item.state == "up"; });
  };
  return {{"links", {{"up", up(snapshot.links)}, {"all", snapshot.links.size()}}},
          {"circuits", {{"up", up(snapshot.circuits)}, {"all", snapshot.circuits.size()}}},
          {"sessions", {{"up", up(snapshot.sessions)}, {"all", snapshot.sessions.size()}}},
          {"destinations", snapshot.destinations.size()}};
}

}  // namespace

Json health_view(const ViewContext& context) {
  Faults faults;
  judge_dataplane(context, faults);
  judge_ports(context, faults);
  judge_links(context, faults);
  judge_groups(context, faults);
  const InstallSnapshot& install = context.snapshot.install;
  if (install.refused > 0) {
    faults.add(fmt::format("the dataplane does not take {} rows", install.refused),
               "journalctl -u skyedge-controlplane");
  }
  if (!context.metrics_error.empty()) faults.add(context.metrics_error, "ss -ltnp");
  if (!context.kernel_error.empty()) faults.add(context.kernel_error, "ip address show dev " + context.router.tun);

  Json list = faults.take();
  Json all{{"status", list.empty() ? "ok" : "unhealthy"}, {"node", context.snapshot.node},
           {"domain", context.snapshot.domain},           {"as_number", context.snapshot.as_number},
           {"address", context.snapshot.address},         {"uptime_ns", context.snapshot.uptime_ns}};
  all.update(summary(context));
  all["faults"] = std::move(list);
  return all;
}

}  // namespace sky::controlplane
