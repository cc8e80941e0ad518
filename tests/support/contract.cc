#include "tests/support/contract.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace sky::test {

using namespace sky::dataplane;
using controlplane::Acked;
using controlplane::Attached;

namespace {

constexpr uint64_t kBootId = 1;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

std::string fresh_directory() {
  std::string path = (std::filesystem::temp_directory_path() / "skyedge-contract-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("no temporary directory");
  return path;
}

StatsLayout layout_of(const Capacities& sizes) {
  return StatsLayout::of(1, sizes.ports, sizes.links, sizes.groups);
}

}  // namespace

Contract::Contract(Node& node, Clock clock)
    : node_(node),
      clock_(std::move(clock)),
      directory_(fresh_directory()),
      layout_(layout_of(node.tables->capacities())),
      counters_(must(SharedPages::create("counters-under-test", layout_.bytes, true))),
      endpoint_(must(Endpoint::open(directory_ + "/socket", kBootId, counters_))) {
  agent_ = std::make_unique<Agent>(
      *endpoint_, kBootId, Stats(counters_.data(), layout_), *node.tables, *node.tables, *node.tables, node.channels(),
      Agent::Hooks{.link_state = [](const LinkStateEvent&) {},
                   .dead_routes = [](const ControlPacket&) {},
                   .retire = [this](std::function<void()> free) { node_.quiescence().retire(std::move(free)); }});
}

Contract::~Contract() {
  attachment_.reset();
  agent_.reset();
  endpoint_.reset();
  std::filesystem::remove_all(directory_);
}

std::vector<InstallMessage> Contract::attach() {
  detach();
  socket_ = must(controlplane::ask_to_attach(socket_path()));
  while (endpoint_->owner() == nullptr) main_turn();
  acked_ = generation_ = 0;
  attachment_ = std::make_unique<controlplane::Attachment>(
      must(controlplane::take_handover(socket_)), SIZE_MAX,
      [this](controlplane::Event&& event) {
        if (const auto* acked = std::get_if<Acked>(&event)) {
          ++acked_;
          refused_ = refused_ || acked->error != InstallError::none;
        } else if (auto* attached = std::get_if<Attached>(&event)) {
          rows_ = std::move(attached->rows);
        }
        on_event(event);
      },
      [this](const SeenPacket& record) { seen.push_back(record); });
  while (!attachment_->attached()) turn();
  return std::move(rows_);
}

void Contract::detach() {
  attachment_.reset();
  socket_ = {};
  while (endpoint_->owner() != nullptr) main_turn();
}

bool Contract::install(const Batches& batches) {
  const uint64_t done = acked_ + batches.size();
  for (const auto& messages : batches) {
    if (!attachment_->install({++generation_, messages})) throw std::runtime_error("a batch does not fit the queue");
  }
  while (acked_ < done && !refused_) turn();
  return !refused_;
}

void Contract::wait_for_grace() {
  while (!node_.quiescence().limbo_empty()) main_turn();
}

void Contract::turn() {
  main_turn();
  if (auto turned = attachment_->turn(); !turned) throw std::runtime_error(turned.error().message);
}

void Contract::main_turn() {
  node_.pass(clock_ ? std::max(clock_(), node_.now_ns()) - node_.now_ns() : 1'000);
  node_.tables->begin_turn(node_.now_ns());
  agent_->turn(node_.now_ns());
  node_.tables->end_turn(agent_events_);
  agent_->report(agent_events_);
}

}  // namespace sky::test
