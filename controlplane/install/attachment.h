// The control plane's side of the rings, from the handover until the socket closes.
//
// First it dumps every table; when all rows are there it hands on one Attached and only then anything else. Batches are
// queued and fed as the install ring has room, so one may be larger than the ring; the queue is bounded, and what does
// not fit is refused at once. Nothing that the dataplane writes is believed: positions are judged by the rings, rows
// and messages by their verb, lengths by the slot; whatever is impossible is an error of `turn`, after which the
// attachment is dropped.
// One thread. Cost of a turn: what is waiting, at most the rings' capacity.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "controlplane/core/events.h"
#include "controlplane/install/handover.h"
#include "dataplane/base/result.h"

namespace sky::controlplane {

class Attachment {
 public:
  static constexpr size_t kMostQueued = size_t{4} * kMaxBatch;  ///< messages
  static constexpr uint32_t kDumpRows = kAckSlots / 4;          ///< asked for at a time

  /// Gets Attached once, then Acked, DataplaneEvent and PacketIn; may call install and send.
  using Sink = std::function<void(Event&&)>;

  /// Gets each record of what is watched, once attached.
  using SeenSink = std::function<void(const SeenPacket&)>;

  /// `most_rows`: of all tables together, as configured; a dump that brings more is an error.
  Attachment(
      Handover handover, size_t most_rows, Sink sink, SeenSink seen = [](const SeenPacket&) {});
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  /// Takes what is waiting, feeds what is queued. To be called at once, whenever `doorbell` is readable, and within a
  /// millisecond while there is a `backlog`. An error is the end of the attachment.
  Result<> turn();
  int doorbell() const { return handover_.doorbell_up.get(); }
  bool backlog() const { return !batches_.empty() || watch_; }
  bool attached() const { return !dumping_; }

  /// Queues a batch, between a begin and a commit of this attachment. Its messages are wiped once sent. False: not
  /// attached yet, too long, or the queue is full; nothing of it is sent.
  bool install(Install batch);
  /// False: the ring is full (the dataplane does not keep up); what it carries is repeated by its protocol.
  bool send(const ControlPacket& packet);

  /// In place of a watch that waits still: it goes between two batches. False: not attached yet.
  bool watch(const WatchMessage& message);

  const AttachReply& reply() const { return handover_.reply; }
  const Mapping& counters() const { return handover_.counters; }

 private:
  struct Batch {
    Install install;
    size_t sent = 0;  ///< of begin, messages, commit
  };

  Result<> take_acks();
  Result<> take_row(const InstallMessage& row);
  Result<> take_dump_end(const DumpEndMessage& end);
  Result<> take_events();
  Result<> take_packets(uint32_t count);
  Result<> take_seen();
  void ask_for(Table table, uint32_t from);
  void finish_dump();
  void feed();
  bool feed_batch();
  InstallMessage next_message(const Batch& batch) const;
  void ring();
  Result<> judge() const;

  Handover handover_;
  size_t most_rows_;
  Sink sink_;
  SeenSink seen_sink_;
  ShmProducer<InstallMessage> install_;
  ShmConsumer<InstallMessage> acks_;
  ShmConsumer<InstallMessage> events_;
  ShmProducer<ControlPacket> down_;
  ShmConsumer<ControlPacket> up_;
  ShmConsumer<SeenPacket> seen_;

  std::optional<DumpMessage> dumping_;  ///< the question that is open
  uint32_t dump_rows_ = 0;              ///< answered to it
  std::vector<InstallMessage> rows_;
  std::deque<Batch> batches_;
  size_t queued_ = 0;
  std::optional<WatchMessage> watch_;  ///< not sent yet
};

}  // namespace sky::controlplane
