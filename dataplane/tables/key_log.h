// A file of the keys that this node's links and sessions use, one line a key in the form of docs/operations.md, "Frames
// in Wireshark". Whoever has it reads everything: it exists in laboratories alone, where router.yaml names it.
// Main core; a write per key.
#pragma once

#include <memory>
#include <string>

#include "dataplane/base/result.h"
#include "dataplane/crypto/key_log.h"

namespace sky::dataplane {

class KeyLog {
 public:
  /// Makes the file or goes on behind what is in it; either way its owner alone may read it.
  static Result<std::unique_ptr<KeyLog>> open(const std::string& path);
  ~KeyLog();
  KeyLog(const KeyLog&) = delete;
  KeyLog& operator=(const KeyLog&) = delete;

  /// `index`: that stands in the frames it seals.
  void link(uint32_t index, const LoggedKey& key);
  void session(uint64_t id, const LoggedKey& key);

 private:
  explicit KeyLog(int file) : file_(file) {}
  void write(const std::string& line);

  int file_;
  bool failed_ = false;
};

}  // namespace sky::dataplane
