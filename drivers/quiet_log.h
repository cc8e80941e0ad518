// Turns a driver's log down while it complains of what is wanted so. Process-wide; main core or EAL's own thread.
#pragma once

#include <rte_log.h>

namespace sky::drivers {

class QuietLog {
 public:
  /// `name` as the driver registered it; `level`: the least important that is still told.
  QuietLog(const char* name, uint32_t level) : type_(rte_log_register(name)), before_(rte_log_get_level(id())) {
    rte_log_set_level(id(), level);
  }
  ~QuietLog() {
    if (before_ >= 0) rte_log_set_level(id(), static_cast<uint32_t>(before_));
  }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;

 private:
  uint32_t id() const { return static_cast<uint32_t>(type_); }

  int type_;
  int before_;
};

}  // namespace sky::drivers
