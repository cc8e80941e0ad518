// The dataplane's end of the contract without a dataplane: makes the segment, answers attach and dump, keeps the
// messages of committed batches and acks them. Every part is open, so that a test can also lie: what it hands over is
// what stands in its public members at that time. One thread, no waiting except in `accept`.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/install/descriptor.h"
#include "dataplane/protocol/segment.h"
#include "dataplane/protocol/stats_page.h"

namespace sky::test {

using controlplane::Descriptor;
using controlplane::Mapping;

/// A memfd of that size, sealed as the contract wants unless told otherwise.
Descriptor make_memfd(size_t bytes, bool sealed = true);

class FakeDataplane {
 public:
  /// Listens at `path`; one worker, two ports, four links, eight groups in its counters.
  explicit FakeDataplane(const std::string& path);

  /// Takes a connection and its request, replies with `reply` and `fds`. False when the request is not sound.
  bool accept();
  /// Handles what stands in the install ring. Returns how many messages it took.
  size_t turn();
  void hang_up() { client_ = Descriptor(); }
  bool has_client() const { return static_cast<bool>(client_); }
  int listener() const { return listener_.get(); }
  int client() const { return client_.get(); }
  int doorbell() const { return doorbell_down_.get(); }

  void push_event(const InstallMessage& event);
  void push_packet(const ControlPacket& packet);
  void push_seen(const SeenPacket& record);
  void push_ack(const InstallMessage& message);
  void ring();

  RingsSegment& rings() { return *static_cast<RingsSegment*>(rings_.data()); }
  PacketsSegment& packets() { return *static_cast<PacketsSegment*>(packets_.data()); }
  uint8_t* counters() { return static_cast<uint8_t*>(counters_.data()); }
  StatsHeader& stats() { return *static_cast<StatsHeader*>(counters_.data()); }
  StatsLayout layout{};

  AttachReply reply;
  std::vector<Descriptor> fds;  ///< in the order of AttachDescriptor

  std::map<Table, std::vector<InstallMessage>> tables;  ///< what a dump shows
  std::vector<InstallMessage> committed;                ///< of all batches, in order
  std::vector<uint64_t> generations;                    ///< of all batches
  std::vector<ControlPacket> sent;                      ///< what came down
  std::vector<WatchMessage> watches;                    ///< that were asked for
  InstallError refuse = InstallError::none;             ///< what the next acks say

 private:
  void make_rings();
  void handle(const InstallMessage& message);
  void answer(const DumpMessage& dump);

  Descriptor listener_;
  Descriptor client_;
  Descriptor doorbell_down_, doorbell_up_;  ///< our ends
  Mapping rings_, packets_, counters_;
  ShmConsumer<InstallMessage> install_;
  ShmProducer<InstallMessage> acks_;
  ShmProducer<InstallMessage> events_;
  ShmConsumer<ControlPacket> down_;
  ShmProducer<ControlPacket> up_;
  ShmProducer<SeenPacket> seen_;
  std::vector<InstallMessage> batch_;
};

}  // namespace sky::test
