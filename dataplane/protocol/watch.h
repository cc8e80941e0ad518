// Copies of packets on their way, for whoever asked to see them (docs/protocol.md, "Watch"): WatchMessage (install.h)
// says which, a ring of its own carries them up. Native byte order; the reader copies a record out before it looks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "dataplane/base/ids.h"
#include "dataplane/protocol/install.h"

namespace sky {

#define SKY_STAGES(X)                             \
  X(receive) /* as the port gave it */            \
  X(classify)                                     \
  X(open)                                         \
  X(take_over) /* opened by another worker */     \
  X(route)                                        \
  X(egress)                                       \
  X(ingress)                                      \
  X(hold) /* waited for a circuit, and in vain */ \
  X(seal)                                         \
  X(transmit) /* into the port's queue; with a drop, what the port did not take */

#define SKY_ENUM(name) name,
#define SKY_NAME(name) #name,
enum class Stage : uint8_t { SKY_STAGES(SKY_ENUM) count };
inline constexpr std::array<std::string_view, static_cast<size_t>(Stage::count)> kStageNames{SKY_STAGES(SKY_NAME)};
#undef SKY_ENUM
#undef SKY_NAME

/// In the order of the dataplane's Verdict (dataplane/verdict.h).
inline constexpr std::array<std::string_view, 8> kVerdictNames{"drop",      "next",   "egress", "consumed",
                                                               "delivered", "punted", "held",   "handed"};

// Where packets are looked at: bits of WatchMessage::points.
inline constexpr uint8_t kWatchRx = 1;       ///< every frame that comes, as it came
inline constexpr uint8_t kWatchTx = 2;       ///< every frame that leaves, as it leaves
inline constexpr uint8_t kWatchDropped = 4;  ///< what is lost, with the reason
inline constexpr uint8_t kWatchOpened = 8;   ///< what opened: of a link, and once more end to end where it ends here
inline constexpr uint8_t kWatchStages = 16;  ///< a packet behind each stage; alone, and `count` counts packets
inline constexpr std::array<std::string_view, 5> kWatchPointNames{"rx", "tx", "dropped", "opened", "stages"};

// What must agree: bits of WatchMessage::matches. A packet that agreed once is followed to its end.
inline constexpr uint8_t kMatchPort = 1;
inline constexpr uint8_t kMatchLink = 2;
inline constexpr uint8_t kMatchRoute = 4;
inline constexpr uint8_t kMatchType = 8;
inline constexpr uint8_t kMatchReason = 16;

/// What the bytes of a record are.
enum class Form : uint8_t {
  wire = 0,       ///< an Ethernet frame as on the wire; where it did not open, as the cipher left it
  opened,         ///< the same with plain bytes in place of what the link seals
  opened_inside,  ///< and of what is sealed end to end
  ip,             ///< an IP packet: no frame is around it yet
};
inline constexpr size_t kForms = 4;

inline constexpr size_t kSeenBytes = 2048 - 64;  ///< of a packet, at most
inline constexpr uint32_t kSeenSlots = 256;
inline constexpr uint32_t kMostNumbered = 65'535;  ///< packets of a trace

struct SeenPacket {
  uint32_t request{};  ///< the WatchMessage's
  uint32_t packet{};   ///< number of the packet within the request, from 1 to kMostNumbered and then anew
  uint64_t at_ns{};    ///< CLOCK_MONOTONIC, of its burst
  uint64_t missed{};   ///< records of the request that found no room so far
  uint8_t last{};      ///< 1: no packet, but the end of the request
  InstallError error{};
  uint8_t points{};  ///< why it is here
  Stage stage{};
  uint8_t verdict{};
  uint8_t reason{};  ///< Drop, where the verdict is drop
  Form form{};
  uint8_t worker{};
  LinkIndex link{};   ///< arrived on, from `route` and `ingress` on leaves by; kNoLink: none or unknown
  PortIndex port{};   ///< the same; kNoPort
  uint16_t length{};  ///< of the packet
  uint16_t kept{};    ///< of it below
  uint8_t pad[24]{};
  std::array<uint8_t, kSeenBytes> bytes{};
};
static_assert(sizeof(SeenPacket) == 2048 && std::is_trivially_copyable_v<SeenPacket>);

}  // namespace sky
