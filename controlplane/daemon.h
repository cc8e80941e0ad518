// The thin daemon: turns descriptors into events for the core, and the core's actions into writes. It decides nothing.
//   dataplane (DataplaneClient), deadlines and requests -> Core::handle -> install, send, answer, log
// Beside that it keeps the kernel's addresses and routes, reads the counters for traffic, and serves metrics.
// One thread. Source: docs/architecture.md, "The control plane".
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/api/api.h"
#include "controlplane/core/core.h"
#include "controlplane/dataplane_client.h"
#include "controlplane/event_loop.h"
#include "controlplane/kernel/tun_keeper.h"
#include "controlplane/topology/check.h"
#include "controlplane/traffic_watch.h"
#include "controlplane/turned_server.h"

namespace sky::controlplane {

class Daemon final : public ApiBackend {
 public:
  static constexpr uint64_t kHousekeepingNs = 1'000'000'000;
  static constexpr uint64_t kScrapeNs = 1'000'000'000;  ///< however many ask, metrics are taken anew once in this time

  static Result<std::unique_ptr<Daemon>> create(Configuration configuration);
  ~Daemon() override;

  /// Until a signal or an error of the loop.
  Result<> run() { return loop_.run(); }

  std::optional<Json> show(std::string_view what) override;
  void ask(Event&& question) override { dispatch(std::move(question)); }
  const std::vector<std::string>& nodes() const override { return nodes_; }
  bool watch(const WatchMessage& message) override { return dataplane_.watch(message); }
  const PacketWatch::Names& names() const override { return names_; }

 private:
  struct Parts {
    EventLoop loop;
    RouterConfig router;
    KernelPlan plan;
    std::vector<std::string> nodes;
    Json topology;
    std::unique_ptr<Random> random;
    Core core;
    std::optional<uid_t> dataplane_user;
  };
  explicit Daemon(Parts parts);
  Result<> start();

  void dispatch(Event&& event);
  void carry_out(Action& action);
  void serve_api();
  void serve_metrics();
  ViewContext context(const Snapshot& snapshot, uint64_t now_ns) const;
  const std::string& metrics();
  void housekeep();
  void look_for_traffic();
  void fit_mtu();

  EventLoop loop_;
  RouterConfig router_;
  std::vector<std::string> nodes_;
  PacketWatch::Names names_;
  Json topology_;  ///< as the API shows it
  std::unique_ptr<Random> random_;
  Core core_;
  TunKeeper tun_;
  bool mtu_unsure_ = false;  ///< circuits may have changed since it was fitted
  TrafficWatch traffic_;
  DataplaneClient dataplane_;

  std::deque<Event> events_;  ///< to be handled; carrying out an action may add to them
  bool handling_ = false;
  uint64_t setups_sent_ = 0;

  Api api_{*this};
  TurnedServer server_;
  std::string server_error_;
  TurnedServer metrics_server_;
  std::string metrics_error_;
  std::string metrics_;
  uint64_t metrics_until_ns_ = 0;
  EventLoop::Timer core_timer_;
  EventLoop::Timer housekeeping_;
  EventLoop::Timer traffic_timer_;
};

}  // namespace sky::controlplane
