// How the control plane gets hold of the contract: it asks on the dataplane's socket, and takes three memfds and two
// doorbells from the reply (dataplane/protocol/segment.h). Nothing of the reply is believed before it was checked:
// who sends it, ABI version and sizes, number, size and seals of the descriptors.
// Nothing here blocks: the reply may take long when another control plane is attached and this one waits its turn.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "controlplane/install/descriptor.h"
#include "dataplane/base/result.h"
#include "dataplane/protocol/segment.h"

namespace sky::controlplane {

/// The contract, mapped. Every mapping has the size that this side computed, and cannot shrink under it.
struct Handover {
  AttachReply reply;
  Mapping rings;     ///< RingsSegment
  Mapping packets;   ///< PacketsSegment
  Mapping counters;  ///< read-only, `reply.counters_bytes`
  Descriptor doorbell_down;
  Descriptor doorbell_up;
};

/// Connects to the dataplane and asks; the socket is readable when the reply is there, and is the ownership from then
/// on: closing it gives the dataplane back. `dataplane_user`: who may serve it, beside root and this process's own
/// user.
Result<Descriptor> ask_to_attach(const std::string& socket_path, std::optional<uid_t> dataplane_user = {});

/// Takes the reply that `socket` is readable for.
Result<Handover> take_handover(const Descriptor& socket);

}  // namespace sky::controlplane
