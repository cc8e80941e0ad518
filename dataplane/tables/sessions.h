// The session table: end-to-end keys between this node and another, and the streams sealed and opened under them. A
// stream's counter and window belong to the session, so they survive every put and delete of circuits and groups. A
// window goes when no rule names its stream and all keys are gone that it guarded: an empty one in its place would let
// old frames in again.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <vector>

#include "dataplane/base/huge_pool.h"
#include "dataplane/crypto/key_ring.h"
#include "dataplane/crypto/key_slot.h"
#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/install.h"
#include "dataplane/protocol/stats_page.h"
#include "dataplane/tables/session_windows.h"

namespace sky::dataplane {

inline constexpr unsigned kStreamsPerPage = 128;
inline constexpr unsigned kStreamPages = kStreams / kStreamsPerPage;

/// What rules say of a stream. Main core alone.
struct StreamUse {
  uint32_t rules = 0;     ///< consume rules that name it
  uint32_t releases = 0;  ///< times the last of them went
};

/// A stream that no rule names any more, unless it was named again since.
struct ReleasedStream {
  uint16_t stream;
  uint32_t release;         ///< its StreamUse's count
  uint64_t at_ns;           ///< round
  uint64_t newest_key = 0;  ///< generation, when that round's grace was over
};

/// State of 128 neighbouring streams, allocated when one of them is first named by a rule or member.
struct StreamPage {
  std::array<SealCounter, kStreamsPerPage> send;                        ///< rw by the worker that seals on that stream
  std::array<std::atomic<SessionWindows*>, kStreamsPerPage> receive{};  ///< content: receiving worker
  std::array<StreamUse, kStreamsPerPage> uses;
  ~StreamPage() {
    for (auto& window : receive) delete window.load(std::memory_order_relaxed);
  }
};

struct Session : Pooled<Session> {
  SessionIndex index{};
  std::atomic<const SessionMessage*> put = nullptr;  ///< main: rw, worker: ro
  SendKeys send;
  ReceiveKeys receive;
  std::array<std::atomic<StreamPage*>, kStreamPages> pages{};  ///< main: rw, worker: ro
  std::atomic<uint64_t> heard_ns = 0;                          ///< workers: rw; last authentic datagram

  // Main core alone.
  std::unique_ptr<KeyRing> ring;
  std::vector<uint16_t> send_streams;   ///< that a member ever named
  std::deque<ReleasedStream> released;  ///< wait for their grace
  std::deque<ReleasedStream> idle;      ///< have passed it, and wait for keys to go

  ~Session() {
    delete put.load(std::memory_order_relaxed);
    for (auto& page : pages) delete page.load(std::memory_order_relaxed);
  }

  StreamPage* page(unsigned stream) const { return pages[stream / kStreamsPerPage].load(std::memory_order_acquire); }
  SealCounter* seal_counter(unsigned stream) const {
    StreamPage* found = page(stream);
    return found == nullptr ? nullptr : &found->send[stream % kStreamsPerPage];
  }
  SessionWindows* windows(unsigned stream) const {
    StreamPage* found = page(stream);
    if (found == nullptr) return nullptr;
    return found->receive[stream % kStreamsPerPage].load(std::memory_order_acquire);
  }
};

}  // namespace sky::dataplane
