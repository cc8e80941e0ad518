// Tables, the part that gives sessions' streams their windows and takes them away again.
#include <algorithm>

#include "dataplane/tables/tables.h"

namespace sky::dataplane {

StreamPage& Tables::page_of(Session& session, unsigned stream) {
  std::atomic<StreamPage*>& page = session.pages[stream / kStreamsPerPage];
  if (page.load(std::memory_order_relaxed) == nullptr) page.store(new StreamPage, std::memory_order_release);
  return *page.load(std::memory_order_relaxed);
}

/// As long as is asked for, where there is room: what is shorter keeps out no less, it loses what comes late.
SessionWindows* Tables::make_windows(unsigned log2_counters, uint8_t owner) {
  const uint64_t bytes = SessionWindows::bytes_of(uint64_t{1} << log2_counters);
  if (bytes > kPlainWindowBytes && copy_windows_bytes_ + bytes > config_.copy_windows_bytes)
    return new SessionWindows(kLeastCopyWindow, owner);
  if (bytes > kPlainWindowBytes) copy_windows_bytes_ += bytes;
  return new SessionWindows(log2_counters, owner);
}

void Tables::forget_windows(const SessionWindows& windows) {
  if (windows.bytes() > kPlainWindowBytes) copy_windows_bytes_ -= windows.bytes();
}

void Tables::claim_stream(Session& session, unsigned stream, unsigned log2_counters, uint8_t owner) {
  StreamPage& page = page_of(session, stream);
  StreamUse& use = page.uses[stream % kStreamsPerPage];
  auto& windows = page.receive[stream % kStreamsPerPage];
  SessionWindows* standing = windows.load(std::memory_order_relaxed);
  if (standing == nullptr) {
    windows.store(make_windows(log2_counters, owner), std::memory_order_release);
  } else if (use.rules == 0 && standing->owner() != owner) {
    quiescence_.wait();  // nobody is in it any more
    standing->set_owner(owner);
  }
  if (standing != nullptr) standing->reopen();
  ++use.rules;
}

void Tables::claim_streams(const RuleMessage& message) {
  const Rule& rule = message.rule;
  if (rule.action != RuleAction::consume) return;
  Session& session = *sessions.find(to_underlying(rule.session));
  const CopiedStreams copied = copied_streams(message.copied);
  for (unsigned i = 0; i < rule.streams; ++i) {
    claim_stream(session, rule.stream + i, kLeastCopyWindow, SessionWindows::kPlain);
    if (copied.window != 0) claim_stream(session, copied.stream + i, copied.window, rule.worker);
  }
}

void Tables::release_stream(Session& session, unsigned stream) {
  StreamUse& use = page_of(session, stream).uses[stream % kStreamsPerPage];
  if (--use.rules != 0) return;
  session.released.push_back(
      {.stream = static_cast<uint16_t>(stream), .release = ++use.releases, .at_ns = round_.now_ns});
}

void Tables::release_streams(const RuleMessage& message) {
  const Rule& rule = message.rule;
  if (rule.action != RuleAction::consume) return;
  Session& session = *sessions.find(to_underlying(rule.session));
  for (unsigned i = 0; i < rule.streams; ++i) {
    release_stream(session, rule.stream + i);
    if (message.copied != 0) release_stream(session, copied_streams(message.copied).stream + i);
  }
}

/// Windows go when every key is wiped under which a frame may have come while their rules stood.
void Tables::sweep_streams(Session& session) {
  if (session.released.empty() && session.idle.empty()) return;
  uint64_t oldest_key = UINT64_MAX;
  uint64_t newest_key = 0;
  for (const KeySlot& slot : session.receive.slots) {
    if (slot.generation == 0) continue;
    oldest_key = std::min(oldest_key, slot.generation);
    newest_key = std::max(newest_key, slot.generation);
  }
  for (auto& from = session.released; !from.empty() && from.front().at_ns <= round_.quiesced_ns; from.pop_front()) {
    ReleasedStream& released = from.front();
    released.newest_key = newest_key;
    StreamPage& page = page_of(session, released.stream);
    const StreamUse& use = page.uses[released.stream % kStreamsPerPage];
    SessionWindows* windows = page.receive[released.stream % kStreamsPerPage].load(std::memory_order_relaxed);
    if (use.rules == 0 && windows != nullptr) windows->close_after(newest_key);
    session.idle.push_back(released);
  }
  for (auto& from = session.idle; !from.empty() && from.front().newest_key < oldest_key; from.pop_front()) {
    const unsigned stream = from.front().stream;
    StreamPage& page = page_of(session, stream);
    const StreamUse& use = page.uses[stream % kStreamsPerPage];
    if (use.rules != 0 || use.releases != from.front().release) continue;
    const SessionWindows* windows = page.receive[stream % kStreamsPerPage].exchange(nullptr, std::memory_order_acq_rel);
    forget_windows(*windows);
    retire(windows);
  }
}

}  // namespace sky::dataplane
