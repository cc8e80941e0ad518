// What this project's own readers make of bytes, one line of text for each record, for another decoder to agree with.
//
//   verdicts < RECORDS      record: what u8, port u8, length u16 (the machine's order), bytes
//
//   F  a whole frame, taken by a dataplane of three links: "drop REASON", or "forward", "local", "deliver", "punt" with
//      the fields of what came out
//   H  a handshake message, T its 32 bytes of payload, S a signal, L a liveness payload: its fields, or "bad"
//
// The first line of output is JSON: the links, rules and keys that are installed.
#include <sodium.h>

#include <cstdio>
#include <iostream>
#include <utility>

#include "controlplane/session/message.h"
#include "controlplane/signalling/messages.h"
#include "tests/support/installs.h"
#include "tests/support/node.h"

namespace sky::test {
namespace {

namespace cp = controlplane;

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text.empty() ? "-" : text;
}

const char* name_of(Suite suite) {
  return suite == Suite::aes_256_gcm ? "aes-256-gcm" : "chacha20-poly1305";
}

/// Of long byte strings: their length and 16 bytes of BLAKE2b.
std::string digest(std::span<const uint8_t> bytes) {
  std::array<uint8_t, 16> hash;
  crypto_generichash(hash.data(), hash.size(), bytes.data(), bytes.size(), nullptr, 0);
  return fmt::format("{} {}", bytes.size(), hex(hash));
}

// --- readers without state

std::string fields(const cp::Setup& m) {
  std::string path;
  for (const cp::PathNode& node : m.path) path += " " + hex(node.address) + " " + hex(node.link);
  return fmt::format("setup {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}{} {}", int{m.refresh},
                     int{m.standby}, m.attempt, m.hop, hex(m.circuit), m.life_s,
                     m.treatment & (kTreatmentClass | kTreatmentQueue), to_underlying(least_kind_of(m.treatment)),
                     m.mtu, to_underlying(m.return_route), m.stream_to_egress, m.stream_to_ingress, m.hop_limit,
                     hex(m.proof), hex(m.alternate.link), to_underlying(m.alternate.route), m.rate_kbit_s,
                     m.copied.stream, m.copied.window, path, hex(m.blob));
}
std::string fields(const cp::SetupReply& m) {
  return fmt::format("setup_reply {} {} {} {} {} {} {}", m.hop, hex(m.circuit), to_underlying(m.forward_route),
                     to_underlying(m.alternate_route), m.mtu, m.copy_window, hex(m.blob));
}
std::string fields(const cp::SetupRefused& m) {
  return fmt::format("setup_refused {} {} {} {}", to_underlying(m.reason), m.hop, hex(m.circuit),
                     hex({reinterpret_cast<const uint8_t*>(m.text.data()), m.text.size()}));
}
std::string fields(const cp::Close& m) {
  return fmt::format("close {} {} {}", to_underlying(m.reason), to_underlying(m.towards), hex(m.circuit));
}
std::string fields(const cp::Trace& m) {
  return fmt::format("trace {} {} {} {}", to_underlying(m.towards), m.hop, hex(m.circuit), m.probe);
}
std::string fields(const cp::TraceReply& m) {
  return fmt::format("trace_reply {} {} {} {} {}", to_underlying(m.towards), m.hop, hex(m.circuit), m.probe,
                     hex(m.address));
}

std::string signal(const Bytes& bytes) {
  const auto read = cp::decode_signal(bytes);
  return read ? std::visit([](const auto& message) { return fields(message); }, *read) : "bad";
}

std::string handshake(const Bytes& bytes) {
  if (const auto m = cp::parse<cp::InitiationMessage>(bytes))
    return fmt::format("initiation {} {} {} {}", m->sender.get(), hex(m->body), hex(m->mac1), hex(m->mac2));
  if (const auto m = cp::parse<cp::ResponseMessage>(bytes)) {
    return fmt::format("response {} {} {} {} {}", m->sender.get(), m->receiver.get(), hex(m->body), hex(m->mac1),
                       hex(m->mac2));
  }
  if (const auto m = cp::parse<cp::CookieMessage>(bytes))
    return fmt::format("cookie {} {} {}", m->receiver.get(), hex(m->nonce), hex(m->sealed));
  return "bad";
}

std::string terms(const Bytes& bytes) {
  if (bytes.size() != cp::kTermsBytes) return "bad";
  const auto m = cp::decode(std::span<const uint8_t, cp::kTermsBytes>(bytes));
  if (!m) return "bad";
  return fmt::format("terms {} {} {} {} {} {} {} {} {} {} {}", m->receive_index, m->parity, m->suites, m->least_kind,
                     m->lanes, m->version_min, m->version_max, m->boot_id, m->session_id, m->run, m->attempt);
}

std::string liveness(const Bytes& bytes) {
  LivenessPayload m;
  if (bytes.size() != sizeof(m)) return "bad";
  std::memcpy(&m, bytes.data(), sizeof(m));
  return fmt::format("liveness {} {} {} {} {} {}", m.flags & 1, m.flags >> 4, m.multiplier, m.interval_us.get(),
                     m.sent_ns.get(), m.echoed_ns.get());
}

// --- frames

class Router {
 public:
  Router() {
    right_.parity = 1;
    right_.kind = FrameKind::header;
    spare_.kind = FrameKind::clear;
    for (const auto& [peer, port] : {std::pair{&left_, 0u}, {&right_, 1u}, {&spare_, 2u}, {&mute_, 0u}}) {
      peer->node_mac = node_.port(port).port().mac();
      LinkMessage put = link_put(*peer, port);
      put.multiplier = 10;
      std::vector<InstallMessage> all = link_installs(*peer, port);
      all[0] = message(put);
      if (peer == &mute_) all.resize(1);
      node_.install(all);
    }
    node_.install(session_installs(far_, kDomain));
    node_.install({message(group_put(7, kDomain)), message(group_put(8, kDomain + 1)),
                   message(destination_put("fd00:f::", 32, GroupIndex{7})),
                   message(destination_put("fd00:e::", 32, GroupIndex{8})),
                   message(destination_put("fd00:1::", 32, kLocalGroup)),
                   message(destination_put("10.9.0.0", 16, GroupIndex{7})),
                   message(destination_put("10.1.0.0", 16, kLocalGroup))});
    for (const RuleMessage& rule : rules_) node_.install({message(rule)});
    for (LinkPeer* peer : {&left_, &right_, &spare_}) {
      for (int ping = 0; ping < 3; ++ping) node_.port(peer->link - 1u).push(peer->ping(true, 1'000'000));
    }
    node_.turn();
    for (unsigned port = 0; port < 3; ++port) node_.port(port).pop_all();
    node_.change();
  }

  std::string installed() {
    std::string links, rules;
    for (LinkPeer* peer : {&left_, &right_, &spare_, &mute_}) {
      links += fmt::format(R"({}{{"link":{},"port":{},"mtu":1500,"kind":{},"least_kind":{},"parity":{},)"
                           R"("next_counter":{},"suite":"{}","secret":"{}"}})",
                           links.empty() ? "" : ",", peer->link, peer == &mute_ ? 0 : peer->link - 1,
                           to_underlying(peer->kind), to_underlying(peer->kind), peer->parity, peer->counter,
                           name_of(peer->suite), peer == &mute_ ? "" : hex(peer->towards_secret));
    }
    for (const RuleMessage& put : rules_) {
      const Rule& rule = put.rule;
      rules += fmt::format(
          R"({}{{"route":{},"link":{},"action":"{}","class":{},"least_kind":{},"next_link":{},"next_route":{},)"
          R"("twin":{},"stream":{},"streams":{}}})",
          rules.empty() ? "" : ",", to_underlying(rule.route_id), to_underlying(rule.in_link),
          rule.action == RuleAction::forward ? "forward" : "consume", rule.treatment >> 5,
          to_underlying(least_kind_of(rule.treatment)), to_underlying(rule.next_link), to_underlying(rule.next_route),
          to_underlying(rule.twin), rule.stream, rule.streams);
    }
    return fmt::format(R"({{"links":[{}],"rules":[{}],"session":{{"id":{},"parity":0,"suite":"{}","secret":"{}"}}}})",
                       links, rules, far_.session_id, name_of(far_.suite), hex(far_.towards_secret));
  }

  std::string take(unsigned port, const Bytes& frame) {
    node_.pass(1'000'000);  // no ration runs out
    std::vector<std::string> out;
    node_.port(port).push(frame);
    node_.worker_turn();
    Change change = node_.change();
    for (LinkPeer* peer : {&left_, &right_, &spare_}) {
      for (const Bytes& sent : node_.port(peer->link - 1u).pop_all()) out.push_back(sent_by(*peer, sent, change));
    }
    std::erase(out, "");
    for (const Bytes& inner : node_.tun_read()) out.push_back("deliver " + digest(inner));
    for (const ControlPacket& punt : node_.punts()) out.push_back(punted(punt));
    node_.events();
    for (size_t i = 0; i < kDropReasons; ++i) {
      if (change.of(Drop(i)) == 1) out.push_back(fmt::format("drop {}", kDropNames[i]));
    }
    if (change.delivered_local == 1 && out.empty()) out.emplace_back("local");
    return out.size() == 1 ? out[0] : fmt::format("{} outcomes", out.size());
  }

 private:
  /// Empty for a ping of the node's own, which is taken out of the change.
  std::string sent_by(LinkPeer& peer, const Bytes& frame, Change& change) {
    const auto opened = peer.open(frame);
    if (!opened) return "does not open";
    if (opened->route() == 0 && opened->type() == 8) {
      --change.injected_probe;
      --change.transmitted;
      return "";
    }
    return fmt::format("forward {} {} {} {} {} {} {}", peer.link, to_underlying(opened->header.kind()),
                       opened->header.hop_limit, opened->header.class_ecn >> 5, opened->type(), opened->route(),
                       digest(opened->payload()));
  }
  static std::string punted(const ControlPacket& punt) {
    const std::span<const uint8_t> payload(punt.payload.data(), punt.length);
    if (punt.kind == SlotKind::handshake) {
      return fmt::format("punt handshake {} {} {} {} {}", to_underlying(punt.port), hex(punt.mac), punt.ether_type,
                         hex(punt.header), digest(payload));
    }
    return fmt::format("punt {} {} {} {} {}", punt.kind == SlotKind::link_packet ? "link" : "circuit", punt.type,
                       to_underlying(punt.link), to_underlying(punt.route), digest(payload));
  }

  static constexpr uint32_t kDomain = 64500;
  Node node_;
  LinkPeer left_{1, 101, 11}, right_{2, 102, 12, Suite::chacha20_poly1305}, spare_{3, 103, 13}, mute_{4, 104, 14};
  SessionPeer far_{5, 55, Suite::chacha20_poly1305};
  // Class (three bits), least kind (bits 3 and 2), queue 1 or 2.
  std::vector<RuleMessage> rules_{
      forward_put(0xabc00123, 1, 2, 0x5a5a5a5a, 0x06),         forward_put(0xabc00124, 1, 3, 0x5a5a5a5b, 0xa9),
      forward_put(0xabc00125, 2, 1, 0x5a5a5a5c, 0xe6),         forward_put(0xabc00126, 1, 4, 0x5a5a5a5d),
      forward_put(0xabc00129, 3, 2, 0x5a5a5a5e, 0x4a),         forward_put(0xabc0012a, 3, 3, 0x5a5a5a5f, 0x0a),
      forward_put(0xabc0012b, 2, 3, 0x5a5a5a60, 0x25),         forward_put(0xabc0012c, 3, 1, 0x5a5a5a61, 0x02),
      consume_put(0xabc00127, 1, 5, 304, 16, 0x77777777),      consume_put(0xabc00128, 2, 5, 320, 16, 0x77777778, 0x46),
      consume_put(0xabc0012d, 3, 5, 336, 16, 0x77777779, 0x0a)};
};

bool read_record(char& what, unsigned& port, Bytes& bytes) {
  struct {
    uint8_t what, port;
    uint16_t length;
  } head;
  if (std::fread(&head, sizeof(head), 1, stdin) != 1) return false;
  what = static_cast<char>(head.what);
  port = head.port;
  bytes.resize(head.length);
  return head.length == 0 || std::fread(bytes.data(), head.length, 1, stdin) == 1;
}

}  // namespace
}  // namespace sky::test

int main() {
  using namespace sky::test;
  Router router;
  std::cout << router.installed() << "\n";
  char what;
  unsigned port;
  Bytes bytes;
  while (read_record(what, port, bytes)) {
    std::cout << (what == 'F'   ? router.take(port, bytes)
                  : what == 'H' ? handshake(bytes)
                  : what == 'T' ? terms(bytes)
                  : what == 'L' ? liveness(bytes)
                                : signal(bytes))
              << "\n";
  }
}
