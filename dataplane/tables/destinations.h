// The destination map: longest prefix match for IPv6 (rte_fib6) and IPv4 (rte_fib) to a group. There are two copies of
// each: a change goes to the one that no worker reads, the copies change places by one pointer, and after a grace
// period the change goes to the other. Cost of a look-up: one to three cache lines per packet (IPv4 at most two), done
// for a whole burst. Source: DPDK Programmer's Guide, "FIB Library".
//
// Nothing is rebuilt for a change, with one exception. DPDK 22.11's rte_fib6 counts second-level tables for each prefix
// longer than 24 bits and forgets to count them back at its delete, until it refuses all puts. A copy that loses more
// than a sixteenth of them so is made anew from what stands, while no packet sees it: 10 us a prefix and the clearing
// of its first level.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/protocol/install.h"
#include "dataplane/tables/two_copies.h"

struct rte_fib;
struct rte_fib6;

namespace sky::dataplane {

inline constexpr GroupIndex kNoGroup{0xffffffff};  ///< no prefix matches

struct DestinationKey {
  Family family;
  uint8_t length;
  Ipv6Address prefix;
  auto operator<=>(const DestinationKey&) const = default;
};

struct DestinationSizes {
  uint32_t prefixes;  ///< of either family
  uint32_t groups;
  uint32_t prefixes6 = 0;  ///< of IPv6, where these are not as many
};

class DestinationMap {
 public:
  /// Makes the four tables in the EAL's memory; `name` is unique in the process.
  static Result<std::unique_ptr<DestinationMap>> create(const std::string& name, const DestinationSizes& sizes);
  ~DestinationMap();

  /// Worker: groups for addresses[n]; kNoGroup where nothing matches. n at most kBurst.
  void find6(uint8_t addresses[][16], GroupIndex* groups, unsigned n) const noexcept;
  /// The same for IPv4 in host byte order.
  void find4(uint32_t* addresses, GroupIndex* groups, unsigned n) const noexcept;

  /// What these two ask now: a benchmark's measure of them.
  rte_fib* shown4() const { return copies_.shown().v4; }
  rte_fib6* shown6() const { return copies_.shown().v6; }

  // Main core's side. Changes are staged into the copy that no packet sees, then published or taken back, all of them.
  struct Entry {
    DestinationKey key;
    GroupIndex group;  ///< kNoGroup: delete
    uint64_t cookie;
  };
  /// False when there is no room; then unstage().
  [[nodiscard]] bool stage(const Entry& change);
  void unstage();
  /// `wait_for_workers` returns once every worker was quiescent.
  void publish(const std::function<void()>& wait_for_workers);

  uint32_t count() const { return static_cast<uint32_t>(slots_.size()); }
  /// What stands under exactly this prefix, or nullptr.
  const Entry* find(const DestinationKey& key) const;
  /// The first entry in slot `from` or later, with its slot; nothing when there is none.
  std::optional<std::pair<uint32_t, Entry>> next(uint32_t from) const;
  /// What the four tables take of the EAL's memory.
  static size_t memory_bytes(const DestinationSizes& sizes);

 private:
  struct Copy {
    rte_fib* v4 = nullptr;
    rte_fib6* v6 = nullptr;
    uint32_t lost6 = 0;  ///< second-level tables that deletes did not give back
  };
  DestinationMap(const std::string& name, const DestinationSizes& sizes) : name_(name), sizes_(sizes) {}
  std::string name_of(const Copy& copy, int family);
  bool make4(Copy& copy);
  bool make6(Copy& copy);
  bool renew6(Copy& copy);
  static bool write(Copy& copy, const Entry& change);
  void keep(const Entry& change);

  std::string name_;
  DestinationSizes sizes_;
  TwoCopies<Copy> copies_;
  std::vector<Entry> staged_;
  // What stands, in slots that keep their place: a dump goes by slot.
  std::vector<std::optional<Entry>> entries_;
  std::vector<uint32_t> free_;
  std::map<DestinationKey, uint32_t> slots_;
};

}  // namespace sky::dataplane
