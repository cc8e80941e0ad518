#include "tests/support/shown_node.h"

namespace sky::test {

using namespace controlplane;

ShownNode::ShownNode(uint32_t workers)
    : layout(StatsLayout::of(workers, 1, 1, 4)),
      fd(make_memfd(layout.bytes)),
      page(fd.get(), layout.bytes, PROT_READ | PROT_WRITE) {
  header().magic = kStatsMagic;
  header().abi_version = kAbiVersion;
  header().counters = kCounters;
  header().drop_reasons = kDropReasons;
  header().stages = kStages;
  header().workers = workers;
  header().ports = header().links = 1;
  header().groups = 4;
  header().heartbeat_ns.set(kNow);
  for (uint32_t index = 0; index < workers; ++index) worker(index).heartbeat_ns.set(kNow);
  port().up.set(1);
  counters.emplace(*Counters::view(page));

  router.ports.resize(1);
  router.ports[0].name = "p0";
  router.ports[0].device = "net_af_packet0,iface=veth0";
  router.links.resize(1);
  router.links[0].name = "a1-g1";
  router.dataplane.workers = {3};
  snapshot.node = "a1";
  snapshot.install.attached = true;
  LinkSnapshot& a1_g1 = snapshot.links.emplace_back();
  a1_g1.name = "a1-g1";
  a1_g1.peer = "g1";
  a1_g1.state = "up";
  GroupSnapshot& group = snapshot.groups.emplace_back();
  group.index = GroupIndex{2};
  group.node = "d1";
  group.state = "up";
  for (uint8_t slot = 0; slot < 2; ++slot) {
    snapshot.paths.emplace_back().to = "d1";
    MemberSnapshot& own = group.members.emplace_back();
    own.slot = slot;
    own.own = own.live = true;
  }
  CircuitSnapshot& circuit = snapshot.circuits.emplace_back();
  circuit.role = "ingress";
  circuit.state = "up";
  circuit.member = true;
  circuit.group = group.index;
  circuit.slot = 1;
  snapshot.destinations.resize(2);
}

ViewContext ShownNode::context() const {
  return {.snapshot = snapshot,
          .router = router,
          .counters = counters ? &*counters : nullptr,
          .dataplane_error = "no socket",
          .kernel_error = kernel_error,
          .metrics_error = metrics_error,
          .setups_sent = 5,
          .now_ns = kNow};
}

}  // namespace sky::test
