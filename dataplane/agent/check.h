// Whether a batch can be applied whole. Pure: from the messages and what stands comes a plan, or the index of a message
// and the reason why the batch is refused. The rules (docs/protocol.md, "Contract"):
//   1. every message is possible in itself (values.h); no key is both put and deleted; a chain is new; a rule's slot
//      holds no other route ID and does not rest; a delete finds its object;
//   2. what a put refers to stands or is put here, and is not deleted here;
//   3. after the batch nothing refers to what it deletes, and the destination map has room.
// The refused message is the first, in the batch's order, that breaks the first rule broken.
// Cost: about 150 ns per message; one hash map as large as the batch.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "dataplane/agent/batch.h"
#include "dataplane/agent/references.h"
#include "dataplane/protocol/install.h"
#include "dataplane/tables/interface.h"

namespace sky::dataplane {

struct Refusal {
  uint32_t index;  ///< of the message in its batch
  InstallError error;
  bool operator==(const Refusal&) const = default;
};

/// Which messages to apply, by verb; of several puts of one key the last.
class Plan {
 public:
  void add(Verb verb, uint32_t index) { indices_[slot(verb)].push_back(index); }
  std::span<const uint32_t> of(Verb verb) const { return indices_[slot(verb)]; }

 private:
  static constexpr size_t slot(Verb verb) { return size_t{to_underlying(verb)} - to_underlying(Verb::put_link); }
  std::array<std::vector<uint32_t>, to_underlying(Verb::delete_destination) - to_underlying(Verb::put_link) + 1>
      indices_;
};

std::expected<Plan, Refusal> check(Messages messages, const TableView& view, const References& references);

/// Of the rule that a message puts or deletes; kControlRoute of other messages.
RouteId route_of(const InstallMessage& message);
inline constexpr uint32_t kRulesAhead = 8;  ///< messages whose rules come into the cache meanwhile

/// The prefix that a delete names, as a put of it.
DestinationMessage destination_of(const DeleteMessage& gone);

}  // namespace sky::dataplane
