// Every counter's name, in the order in which it lies in a counter page. One list gives enum, name and counter.
//
// The accounting equation, exact per worker and in sum when at rest (docs/protocol.md, "Accounting"):
//   received + injected_* + copied + taken_over
//     = transmitted + delivered_* + punted + handed_over + the sum of all drops + held + queued
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sky {

#define SKY_COUNTERS(X)                                                                    \
  X(received)         /* frames taken from ports */                                        \
  X(injected_control) /* packets from the control plane and the main core */               \
  X(injected_probe)   /* liveness, circuit probes and their answers */                     \
  X(injected_tun)     /* packets read from the TUN */                                      \
  X(copied)           /* extra copies of copied streams */                                 \
  X(taken_over)       /* packets that another worker handed on to this one */              \
  X(transmitted)      /* frames given to ports */                                          \
  X(delivered_tun)    /* packets written to the TUN */                                     \
  X(delivered_local)  /* liveness, probes and lists that end in a worker */                \
  X(punted)           /* packets handed to the control plane */                            \
  X(handed_over)      /* packets handed on to the worker that owns their stream or link */ \
  X(held)             /* gauge: packets waiting for a circuit */                           \
  X(queued)           /* gauge: frames waiting for room in a port */                       \
  X(copy_alone)       /* of copy groups, sent once: no second circuit or buffer */         \
  X(copy_over_rate)   /* the same: the group's rate was spent */                           \
  X(loops)            /* turns of the poll loop */                                         \
  X(sleeps)           /* turns that ended asleep */

#define SKY_DROP_REASONS(X)                                                               \
  X(frame_short)   /* shorter than the least frame of its kind */                         \
  X(frame_long)    /* longer than the port's MTU */                                       \
  X(frame_chained) /* in more than one buffer */                                          \
  X(not_skywire)   /* another EtherType */                                                \
  X(bad_version)                                                                          \
  X(bad_kind)     /* a kind this node does not speak */                                   \
  X(bad_reserved) /* reserved bits set */                                                 \
  X(unknown_link) /* link index without a link */                                         \
  X(wrong_port)   /* that link is on another port */                                      \
  X(weak_kind)    /* below the link's least kind, or the circuit's */                     \
  X(wrong_kind)   /* a kind that carries no such packet */                                \
  X(no_key)       /* no receive key of that epoch */                                      \
  X(bad_lane)     /* more lanes than were agreed */                                       \
  X(bad_tag)      /* does not authenticate */                                             \
  X(replayed)     /* counter seen before or too old */                                    \
  X(bad_size)     /* size field does not match the delivered length */                    \
  X(bad_type)     /* a packet type that may not arrive so */                              \
  X(bad_control)  /* malformed packet on route ID 0 */                                    \
  X(unknown_route)                                                                        \
  X(wrong_link) /* a known route ID from a link it is not bound to */                     \
  X(wrong_class)                                                                          \
  X(hop_limit)                                                                            \
  X(link_down) /* next hop and alternate are down */                                      \
  X(no_send_key)                                                                          \
  X(key_exhausted) /* hard stop of a key */                                               \
  X(too_big)       /* does not fit the next link */                                       \
  X(over_rate)     /* more than is taken of that neighbour */                             \
  X(port_full)     /* the port takes no more, and enough are waiting */                   \
  X(session_unknown)                                                                      \
  X(session_no_key)                                                                       \
  X(session_stream) /* a stream the rule does not allow */                                \
  X(session_bad_tag)                                                                      \
  X(session_replayed)                                                                     \
  X(copy_duplicate)    /* on a copied stream, seen before: the copy that came second */   \
  X(copy_late)         /* the same, older than the window: it may be the first */         \
  X(inner_malformed)   /* what was sealed is no IP packet of that length */               \
  X(bad_ecn)           /* marked as congested, what was sealed cannot be */               \
  X(inner_source)      /* source not in the sending domain's prefixes */                  \
  X(inner_destination) /* destination not this node's */                                  \
  X(tun_full)          /* the TUN took no more */                                         \
  X(not_ip)            /* read from the TUN, neither IPv4 nor IPv6 */                     \
  X(no_destination)    /* no prefix matches */                                            \
  X(hold_full)         /* 64 packets are waiting already */                               \
  X(hold_expired)      /* the circuit did not come in time */                             \
  X(inner_too_big)     /* over the circuit's MTU, which the TUN's follows */              \
  X(punt_metered)      /* handshake frames, or packets of one link, above their ration */ \
  X(punt_full)         /* the control plane does not keep up or is absent */              \
  X(worker_full)       /* the worker that owns its stream does not keep up */             \
  X(no_buffer)         /* no free packet buffer */

#define SKY_ENUM(name) name,
#define SKY_NAME(name) #name,

enum class Counter : uint8_t { SKY_COUNTERS(SKY_ENUM) count };
enum class Drop : uint8_t { SKY_DROP_REASONS(SKY_ENUM) count };

inline constexpr size_t kCounters = static_cast<size_t>(Counter::count);
inline constexpr size_t kDropReasons = static_cast<size_t>(Drop::count);
inline constexpr std::array<std::string_view, kCounters> kCounterNames{SKY_COUNTERS(SKY_NAME)};
inline constexpr std::array<std::string_view, kDropReasons> kDropNames{SKY_DROP_REASONS(SKY_NAME)};

#undef SKY_ENUM
#undef SKY_NAME

}  // namespace sky
