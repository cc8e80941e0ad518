#include "tests/model/contest.h"

#include <algorithm>

namespace sky::test {

Contest::Contest(Node& node, World& world) : world_(world), node_(node) {
  for (const auto& batch : world_.beginning()) install(batch);
  for (uint16_t link = 0; link + 1 < world_.size().links; ++link) arrive(world_.pings(link));
}

void Contest::step() {
  if (world_.chance(20)) return install(world_.change());
  std::vector<World::Arrival> burst(world_.below(world_.size().burst + 1));
  for (World::Arrival& each : burst) each = world_.frame();
  std::vector<Bytes> plain(world_.chance(30) ? world_.below(30) : 0);
  for (Bytes& each : plain) each = world_.plain();
  arrive(burst, plain);
}

void Contest::finish() {
  node_.expect_at_rest();
  EXPECT_TRUE(node_.tables->settled());
}

void Contest::install(const std::vector<InstallMessage>& batch) {
  if (node_.try_install(batch, false)) {
    world_.accepted(batch);
    for (const InstallMessage& message : batch) model_.install(message);
  }
  for (int turns = 0; turns < 5; ++turns) {
    node_.turn();
    model_.release();
    compare();
  }
}

void Contest::arrive(const std::vector<World::Arrival>& burst, const std::vector<Bytes>& plain) {
  node_.pass(11'000);  // the TUN is read again
  // Each port is the first in its turn.
  const auto first = node_.tables->stats.worker(0).counters[static_cast<size_t>(Counter::loops)].get();
  for (unsigned i = 0; i < World::kPorts; ++i) {
    const auto port = static_cast<unsigned>((first + i) % World::kPorts);
    for (const World::Arrival& each : burst) {
      if (each.port != port) continue;
      node_.port(port).push(each.frame);
      model_.frame(port, each.frame, node_.now_ns());
    }
  }
  model_.release();  // what was held goes before what comes behind it
  for (const Bytes& each : plain) {
    node_.tun_write(each);
    model_.plain(each);
  }
  frames_ += burst.size();
  node_.worker_turn();
  compare();
}

void Contest::compare() {
  model_.timers();
  ModelRouter::Outcome wanted = model_.take();
  const Change change = node_.change();
  EXPECT_EQ(wanted.change, change);
  total_ += change;
  for (unsigned port = 0; port < World::kPorts; ++port) compare_port(port, wanted.sent);
  EXPECT_EQ(wanted.delivered, node_.tun_read());
  std::vector<Bytes> punted;
  for (const ControlPacket& punt : node_.punts())
    punted.emplace_back(punt.payload.begin(), punt.payload.begin() + punt.length);
  // Handshakes of strangers go up before the rest of their burst is opened.
  std::ranges::sort(punted);
  std::ranges::sort(wanted.punted);
  EXPECT_EQ(wanted.punted, punted);
  node_.events();
}

void Contest::compare_port(unsigned port, const std::vector<ModelRouter::Sent>& sent) {
  std::vector<Bytes> wanted;
  for (unsigned queue = 0; queue < 3; ++queue) {
    for (const auto& each : sent) {
      if (each.port == port && each.queue == queue) wanted.push_back(each.frame);
    }
  }
  const std::vector<Bytes> got = node_.port(port).pop_all();
  ASSERT_EQ(wanted.size(), got.size()) << "port " << port;
  for (size_t i = 0; i < got.size(); ++i) {
    if (wanted[i].empty()) continue;  // a ping or probe
    ASSERT_EQ(wanted[i], part(got[i], 14)) << "port " << port << ", frame " << i;
  }
}

}  // namespace sky::test
