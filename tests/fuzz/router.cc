#include "tests/fuzz/router.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <random>

#include "tests/support/installs.h"

namespace sky::fuzz {

namespace {

using namespace test;

constexpr uint64_t kForgetNs = 3'000'000'000;  // held packets, resting route IDs, keys on their way out, rations

/// DPDK's start pins the thread to one core, and two fuzzers that started on the same one would share it for good.
std::unique_ptr<Node> make_node(NodeConfig config) {
  cpu_set_t cores;
  sched_getaffinity(0, sizeof(cores), &cores);
  auto node = std::make_unique<Node>(std::move(config));
  sched_setaffinity(0, sizeof(cores), &cores);
  // The same input takes the same way in each process.
  std::ranges::generate(node->worker().context().flow_key, std::mt19937_64(1));
  return node;
}

InstallMessage delete_of_row(const InstallMessage& row) {
  switch (row.verb) {
    case Verb::put_link:
      return message(delete_of(Verb::delete_link, to_underlying(row.as<LinkMessage>().link)));
    case Verb::put_session:
      return message(delete_of(Verb::delete_session, to_underlying(row.as<SessionMessage>().session)));
    case Verb::put_rule:
      return message(delete_of(Verb::delete_rule, to_underlying(row.as<RuleMessage>().rule.route_id)));
    case Verb::put_group:
      return message(delete_of(Verb::delete_group, to_underlying(row.as<GroupMessage>().group)));
    case Verb::put_member: {
      const auto member = row.as<MemberMessage>();
      return message(delete_of(Verb::delete_member, to_underlying(member.group), member.slot));
    }
    default:
      return message(delete_destination(row.as<DestinationMessage>()));
  }
}

std::vector<InstallMessage> rows(const Node& node) {
  std::vector<InstallMessage> out;
  InstallMessage row;
  for (const Table table :
       {Table::links, Table::sessions, Table::rules, Table::groups, Table::members, Table::destinations}) {
    auto next = node.tables->dump(table, 0, row);
    for (; next; next = node.tables->dump(table, *next, row)) out.push_back(row);
  }
  return out;
}

}  // namespace

Router::Router(NodeConfig config) : node_(make_node(std::move(config))) {}

void Router::drain() {
  for (unsigned port = 0; port < node_->tables->capacities().ports; ++port) {
    while (node_->port(port).discard()) continue;
  }
  node_->tun_read();
  node_->punts();
  node_->events();
  node_->change();
}

void Router::clear() {
  std::vector<InstallMessage> deletes;
  for (const InstallMessage& row : rows(*node_)) deletes.push_back(delete_of_row(row));
  node_->turn();  // what was pushed or injected and not taken yet
  node_->install(deletes);
  node_->pass(kForgetNs);
  for (int turns = 0; turns < 4 || !node_->quiescence().limbo_empty(); ++turns) {
    ASSERT_LT(turns, 20) << "what was deleted is never freed";
    node_->turn();
    drain();
  }
  EXPECT_TRUE(rows(*node_).empty());
  EXPECT_EQ(0, node_->total().held);
  node_->expect_at_rest();
}

}  // namespace sky::fuzz
