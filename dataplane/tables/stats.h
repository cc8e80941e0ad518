// The dataplane's own side of the counters page: who finds the words that workers, tables and main
// core write. Plain pointers into memory that lives as long as the process; every word has one
// writer (stats_page.h).
#pragma once

#include <cstdint>

#include "dataplane/protocol/stats_page.h"

namespace sky::dataplane {

class Stats {
 public:
  Stats(void* page, const StatsLayout& layout) : page_(static_cast<uint8_t*>(page)), layout_(layout) {}

  StatsHeader& header() const { return *at<StatsHeader>(0); }
  WorkerStats& worker(unsigned index) const { return at<WorkerStats>(layout_.workers)[index]; }
  // One worker's row; the main core writes into that of worker 0.
  PortStats& port(PortIndex index, unsigned worker = 0) const { return ports(worker)[to_underlying(index)]; }
  LinkStats& link(LinkIndex index, unsigned worker = 0) const { return links(worker)[to_underlying(index)]; }
  MemberStats& member(GroupIndex group, unsigned slot, unsigned worker = 0) const {
    return members(worker)[size_t{to_underlying(group)} * kMaxMembers + slot];
  }
  PortStats* ports(unsigned worker) const { return at<PortStats>(layout_.ports + worker * layout_.ports_each); }
  LinkStats* links(unsigned worker) const { return at<LinkStats>(layout_.links + worker * layout_.links_each); }
  MemberStats* members(unsigned worker) const {
    return at<MemberStats>(layout_.members + worker * layout_.members_each);
  }

 private:
  template <typename T>
  T* at(size_t offset) const {
    return reinterpret_cast<T*>(page_ + offset);
  }

  uint8_t* page_;
  StatsLayout layout_;
};

}  // namespace sky::dataplane
