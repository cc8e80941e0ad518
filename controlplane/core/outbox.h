// Actions of one turn of the core, in order. Log lines are rationed over the core's life: what was left out is counted
// and said with the next line that may pass.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/core/events.h"
#include "dataplane/base/ration.h"
#include "dataplane/protocol/frame.h"

namespace sky::controlplane {

class Outbox {
 public:
  void install(Install batch) { actions_.emplace_back(std::move(batch)); }
  void send(const ControlPacket& packet) { actions_.emplace_back(Send{packet}); }
  void answer(Answer answer) { actions_.emplace_back(std::move(answer)); }

  /// On route ID 0 of a keyed link. payload: at most a slot's.
  void send_on_link(LinkIndex link, PacketType type, std::span<const uint8_t> payload);

  template <typename... Args>
  void log(LogLevel level, TimeNs now, fmt::format_string<Args...> format, Args&&... args) {
    if (!lines_.take(now)) {
      ++left_out_;
      return;
    }
    std::string text = fmt::format(format, std::forward<Args>(args)...);
    if (left_out_ != 0) text += fmt::format(" ({} lines before this were left out)", std::exchange(left_out_, 0));
    actions_.emplace_back(Log{level, std::move(text)});
  }

  std::vector<Action> take() { return std::exchange(actions_, {}); }

 private:
  std::vector<Action> actions_;
  Ration lines_{Rate{.per_second = 10, .burst = 200}};
  uint64_t left_out_ = 0;
};

/// Copies as much as a slot holds; callers keep to kMaxSignalBytes.
void set_payload(ControlPacket& packet, std::span<const uint8_t> payload);
std::span<const uint8_t> payload_of(const ControlPacket& packet);

}  // namespace sky::controlplane
