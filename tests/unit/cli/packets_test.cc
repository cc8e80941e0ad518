// Records of watched packets as text and as pcapng.
#include "controlplane/cli/packets.h"

#include <gtest/gtest.h>

#include <cstring>

#include "controlplane/cli/pcapng.h"

namespace sky::controlplane {
namespace {

const std::string kEthernet = "0200000000010200000000020000";
const std::string kLink =
    "103205e000000007"
    "0100000000000009";  // frame, hops 50, epoch 5, class 7, link 7, lane 1, 9
const std::string kTag(32, '0');
const std::string kDatagram =
    "11abc00123002c"
    "812c00000000000a"
    "00000000000000000000000000000000"
    "4500001400000000402a00000a0100010a020001";

Json record(std::string stage, std::string verdict, std::string form, const std::string& bytes) {
  return {{"packet", 3},
          {"time_ns", 5'000'000'007},
          {"points", Json::array({"rx"})},
          {"stage", stage},
          {"verdict", verdict},
          {"drop", verdict == "drop" ? Json("bad_tag") : Json()},
          {"port", "p0"},
          {"link", "a1-b1"},
          {"worker", 1},
          {"form", form},
          {"length", bytes.size() / 2},
          {"bytes", bytes}};
}

TEST(Packets, HeadersOfEveryForm) {
  const std::string link = "frame, link 7, epoch 0x05, lane 1, counter 9, hop limit 50, class 7, ECN 0";
  const std::string packet = "datagram, route 0xabc00123, size 44";
  const std::string inside = "session epoch 2, stream 300, counter 10";
  const std::string ethernet = "Ethernet, 02:00:00:00:00:02 to 02:00:00:00:00:01, type 0x0000";
  const std::string frame = kEthernet + kLink + kTag + kDatagram;
  const std::string ip = "IPv4, 10.1.0.1 to 10.2.0.1, protocol 42, 20 bytes";
  using Texts = std::vector<std::string>;
  EXPECT_EQ((Texts{ethernet, link}), headers_of(record("receive", "next", "wire", frame)));
  EXPECT_EQ((Texts{link, packet, inside}), headers_of(record("open", "next", "opened", frame)));
  EXPECT_EQ((Texts{link, packet, inside, ip}), headers_of(record("egress", "delivered", "opened_inside", frame)));
  EXPECT_EQ(Texts{ip}, headers_of(record("ingress", "drop", "ip", kDatagram.substr(62))));
}

TEST(Packets, NothingIsReadBeyondTheBytes) {
  const std::string frame = kEthernet + kLink + kTag + kDatagram;
  for (const char* form : {"wire", "opened", "opened_inside", "ip"}) {
    for (size_t length = 0; length <= frame.size(); length += 2)
      headers_of(record("open", "next", form, frame.substr(0, length)));
  }
}

TEST(Packets, APacketIsToldWhenItsWayEnds) {
  PacketTraces traces;
  EXPECT_EQ("", traces.add(record("classify", "next", "wire", kEthernet)));
  EXPECT_EQ("", traces.add(record("route", "egress", "wire", kEthernet)));
  const std::string text = traces.add(record("egress", "drop", "wire", kEthernet));
  EXPECT_NE(text.find("packet 3, "), std::string::npos) << text;
  EXPECT_NE(text.find("\n  classify   next; port p0, link a1-b1, worker 1, 14 bytes\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  egress     drop: bad_tag; port p0, link a1-b1, worker 1, 14 bytes\n"), std::string::npos)
      << text;
  EXPECT_EQ("", traces.rest());
  traces.add(record("classify", "next", "wire", kEthernet));
  EXPECT_NE("", traces.rest());
}

TEST(Packets, Matches) {
  EXPECT_EQ(*read_matches({"port=p0", "route=0xabc00123", "type=datagram", "drop=bad_tag", "link=a=b"}),
            (Json{{"port", "p0"}, {"route", 0xabc00123u}, {"type", 17}, {"drop", "bad_tag"}, {"link", "a=b"}}));
  EXPECT_EQ(*read_matches({"type=200"}), (Json{{"type", 200}}));
  for (const char* wrong :
       {"port", "type=256", "type=datagrams", "route=0x1ffffffff", "route=", "route=1x", "route=-1"})
    EXPECT_FALSE(read_matches({wrong})) << wrong;
  EXPECT_FALSE(read_matches({"port=p0", "port=p1"}));
}

/// A pcapng file taken to pieces: (type, body) of each block.
std::vector<std::pair<uint32_t, std::string>> blocks_of(std::string_view file) {
  std::vector<std::pair<uint32_t, std::string>> blocks;
  while (!file.empty()) {
    uint32_t head[2];
    std::memcpy(head, file.data(), sizeof(head));
    EXPECT_EQ(0u, head[1] % 4);
    uint32_t again;
    std::memcpy(&again, file.data() + head[1] - 4, sizeof(again));
    EXPECT_EQ(head[1], again);
    blocks.emplace_back(head[0], file.substr(8, head[1] - 12));
    file.remove_prefix(head[1]);
  }
  return blocks;
}

TEST(Pcapng, BytesOfEveryBlock) {
  Pcapng pcapng;
  std::string file = Pcapng::begin();
  file += pcapng.add(record("receive", "next", "wire", "0102030405"));
  file += pcapng.add(record("open", "drop", "wire", "0102"));
  file += pcapng.add(record("egress", "delivered", "opened_inside", "0a0b"));
  const auto blocks = blocks_of(file);
  ASSERT_EQ(6u, blocks.size());
  EXPECT_EQ(0x0A0D0D0Au, blocks[0].first);
  EXPECT_EQ(std::string("\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16), blocks[0].second);
  EXPECT_EQ(1u, blocks[1].first);
  EXPECT_EQ(std::string("\x01\0\0\0\0\0\0\0\x02\0\x02\0p0\0\0\x09\0\x01\0\x09\0\0\0\0\0\0\0", 28), blocks[1].second);
  EXPECT_EQ(6u, blocks[2].first);
  const std::string comment = "receive next; port p0, link a1-b1, worker 1, packet 3";
  ASSERT_EQ(53u, comment.size());
  EXPECT_EQ(
      std::string("\0\0\0\0\x01\0\0\0\x07\xf2\x05\x2a\x05\0\0\0\x05\0\0\0\x01\x02\x03\x04\x05\0\0\0\x01\0\x35\0", 32) +
          comment + std::string("\0\0\0\x02\0\x04\0\x01\0\0\0\0\0\0\0", 15),
      blocks[2].second);
  EXPECT_EQ(6u, blocks[3].first) << "of an interface that is known";
  EXPECT_NE(blocks[3].second.find("open drop: bad_tag; port p0"), std::string::npos);
  EXPECT_EQ(1u, blocks[4].first);
  EXPECT_EQ(std::string("\x93\0", 2), blocks[4].second.substr(0, 2)) << "USER0";
  EXPECT_EQ(std::string("\x01\x01\x0a\x0b", 4), blocks[5].second.substr(20, 4)) << "format, flags, frame";
}

TEST(Pcapng, WhatWasCutSaysHowLongItWas) {
  Json cut = record("receive", "next", "wire", "01020304");
  cut["length"] = 5000;
  const auto blocks = blocks_of(Pcapng().add(cut));
  uint32_t lengths[2];
  std::memcpy(lengths, blocks[1].second.data() + 12, sizeof(lengths));
  EXPECT_EQ(4u, lengths[0]);
  EXPECT_EQ(5000u, lengths[1]);
}

}  // namespace
}  // namespace sky::controlplane
