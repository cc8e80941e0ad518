#include "controlplane/install/attachment.h"

#include <array>
#include <cstring>
#include <utility>

#include "dataplane/protocol/counters.h"
#include "dataplane/protocol/doorbell.h"

namespace sky::controlplane {
namespace {

/// In the order of dependency, so that rows come as one could put them.
constexpr std::array kTables{Table::links,  Table::sessions, Table::rules,
                             Table::groups, Table::members,  Table::destinations};

Verb put_of(Table table) {
  switch (table) {
    case Table::links:
      return Verb::put_link;
    case Table::sessions:
      return Verb::put_session;
    case Table::rules:
      return Verb::put_rule;
    case Table::groups:
      return Verb::put_group;
    case Table::members:
      return Verb::put_member;
    case Table::destinations:
      return Verb::put_destination;
  }
  return Verb::none;
}

void wipe(std::vector<InstallMessage>& messages) {
  if (!messages.empty()) explicit_bzero(static_cast<void*>(messages.data()), messages.size() * sizeof(InstallMessage));
}

}  // namespace

Attachment::Attachment(Handover handover, size_t most_rows, Sink sink, SeenSink seen)
    : handover_(std::move(handover)), most_rows_(most_rows), sink_(std::move(sink)), seen_sink_(std::move(seen)) {
  auto* rings = static_cast<RingsSegment*>(handover_.rings.data());
  auto* packets = static_cast<PacketsSegment*>(handover_.packets.data());
  install_ = {&rings->install_positions, rings->install.data(), kInstallSlots};
  acks_ = {&rings->ack_positions, rings->ack.data(), kAckSlots};
  events_ = {&rings->event_positions, rings->event.data(), kEventSlots};
  down_ = {&packets->down_positions, packets->down.data(), kPacketSlots};
  up_ = {&packets->up_positions, packets->up.data(), kPacketSlots};
  seen_ = {&packets->seen_positions, packets->seen.data(), kSeenSlots};
  ask_for(kTables.front(), 0);
}

Attachment::~Attachment() {
  for (Batch& batch : batches_) wipe(batch.install.messages);
}

Result<> Attachment::turn() {
  // Before looking, so that whatever comes after the look rings again.
  if (!clear_doorbell(doorbell())) return fail("the dataplane closed its doorbell");
  // A packet comes after the event of the chain that it came under: packets of after this look wait for the next one,
  // since the events that go before them may come after ours.
  const uint32_t packets = up_.available();
  if (auto taken = take_acks(); !taken) return taken;
  if (attached()) {
    if (auto taken = take_events(); !taken) return taken;
    if (auto taken = take_packets(packets); !taken) return taken;
    if (auto taken = take_seen(); !taken) return taken;
  }
  feed();
  return judge();
}

Result<> Attachment::judge() const {
  if (install_.broken() || acks_.broken() || events_.broken() || down_.broken() || up_.broken() || seen_.broken()) {
    return fail("a ring of the dataplane stands at an impossible position");
  }
  return {};
}

void Attachment::ask_for(Table table, uint32_t from) {
  dumping_ = DumpMessage{.table = table, .from = from, .most = kDumpRows};
  dump_rows_ = 0;
  install_.push(InstallMessage::of(*dumping_));  // one at a time in an empty ring: fails only when broken
  ring();
}

Result<> Attachment::take_acks() {
  InstallMessage message;
  for (uint32_t left = kAckSlots; left > 0 && acks_.pop(message); --left) {
    Result<> taken;
    if (message.verb == Verb::ack && attached()) {
      const auto ack = message.as<AckMessage>();
      sink_(Acked{ack.generation, ack.error, ack.index});
    } else if (message.verb == Verb::dump_end) {
      taken = take_dump_end(message.as<DumpEndMessage>());
    } else {
      taken = take_row(message);
    }
    if (!taken) return taken;
  }
  return {};
}

Result<> Attachment::take_row(const InstallMessage& row) {
  if (!dumping_ || row.verb != put_of(dumping_->table) || ++dump_rows_ > dumping_->most) {
    return fail("ack ring: found a message of verb {} that was not asked for", std::to_underlying(row.verb));
  }
  if (rows_.size() >= most_rows_) return fail("dump: found more than {} rows", most_rows_);
  rows_.push_back(row);
  return {};
}

Result<> Attachment::take_dump_end(const DumpEndMessage& end) {
  if (!dumping_ || end.table != dumping_->table || end.rows != dump_rows_) {
    return fail("dump: found an end of table {} after {} rows, wanted table {} after {}", std::to_underlying(end.table),
                end.rows, dumping_ ? std::to_underlying(dumping_->table) : 0, dump_rows_);
  }
  if (end.next != 0) {
    if (end.next <= dumping_->from) {
      return fail("dump of table {}: found a next index of {}, wanted more than {}", std::to_underlying(end.table),
                  end.next, dumping_->from);
    }
    ask_for(end.table, end.next);
    return {};
  }
  const auto table = std::to_underlying(end.table);  // numbered from 1, in the order of kTables
  if (table < kTables.size()) {
    ask_for(kTables[table], 0);
  } else {
    finish_dump();
  }
  return {};
}

void Attachment::finish_dump() {
  dumping_.reset();
  sink_(Attached{.boot_id = reply().boot_id,
                 .fence = reply().fence,
                 .suites = static_cast<Suites>(reply().suites & kAllSuites),
                 .rows = std::exchange(rows_, {})});
}

Result<> Attachment::take_events() {
  InstallMessage message;
  for (uint32_t left = kEventSlots; left > 0 && events_.pop(message); --left) {
    switch (message.verb) {
      case Verb::link_state:
      case Verb::chain_confirmed:
      case Verb::member_state:
      case Verb::miss:
      case Verb::circuit_damaged:
        sink_(DataplaneEvent{message});
        break;
      default:
        return fail("event ring: found verb {}", std::to_underlying(message.verb));
    }
  }
  return {};
}

Result<> Attachment::take_packets(uint32_t count) {
  PacketIn in;
  for (uint32_t left = count; left > 0 && up_.pop(in.packet); --left) {
    if (in.packet.length > in.packet.payload.size()) {
      return fail("control packet: found a length of {}, wanted at most {}", in.packet.length,
                  in.packet.payload.size());
    }
    sink_(PacketIn(in));
  }
  return {};
}

Result<> Attachment::take_seen() {
  SeenPacket record;
  for (uint32_t left = kSeenSlots; left > 0 && seen_.pop(record); --left) {
    const bool possible = record.kept <= record.bytes.size() && record.kept <= record.length &&
                          record.stage < Stage::count && record.verdict < kVerdictNames.size() &&
                          record.reason < kDropReasons && size_t{to_underlying(record.form)} < kForms;
    if (!possible) return fail("record of a packet: found a field outside its range");
    seen_sink_(record);
  }
  return {};
}

bool Attachment::watch(const WatchMessage& message) {
  if (!attached()) return false;
  watch_ = message;
  feed();
  return true;
}

bool Attachment::install(Install batch) {
  const size_t count = batch.messages.size() + 2;
  if (!attached() || count > kMaxBatch + 2 || queued_ + count > kMostQueued) {
    wipe(batch.messages);
    return false;
  }
  queued_ += count;
  batches_.push_back({std::move(batch)});
  feed();
  return true;
}

InstallMessage Attachment::next_message(const Batch& batch) const {
  const Install& install = batch.install;
  if (batch.sent == 0) {
    return InstallMessage::of(
        BeginMessage{.generation = install.generation, .boot_id = reply().boot_id, .fence = reply().fence});
  }
  if (batch.sent <= install.messages.size()) return install.messages[batch.sent - 1];
  return InstallMessage::of(
      CommitMessage{.count = static_cast<uint32_t>(install.messages.size()), .generation = install.generation});
}

void Attachment::feed() {
  bool fed = false;
  while (backlog()) {
    const bool between = batches_.empty() || batches_.front().sent == 0;
    if (watch_ && between) {
      if (!install_.push(InstallMessage::of(*watch_))) break;
      watch_.reset();
    } else if (!feed_batch()) {
      break;
    }
    fed = true;
  }
  if (fed) ring();
}

/// One message of the first batch; false without room.
bool Attachment::feed_batch() {
  Batch& batch = batches_.front();
  InstallMessage message = next_message(batch);
  const bool pushed = install_.push(message);
  explicit_bzero(static_cast<void*>(&message), sizeof(message));
  if (!pushed) return false;
  const size_t count = batch.install.messages.size() + 2;
  if (++batch.sent < count) return true;
  queued_ -= count;
  wipe(batch.install.messages);
  batches_.pop_front();
  return true;
}

bool Attachment::send(const ControlPacket& packet) {
  if (!down_.push(packet)) return false;
  ring();
  return true;
}

void Attachment::ring() {
  ring_doorbell(handover_.doorbell_down.get());
}

}  // namespace sky::controlplane
