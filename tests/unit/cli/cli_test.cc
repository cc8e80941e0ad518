#include <gtest/gtest.h>

#include "controlplane/cli/dot.h"
#include "controlplane/cli/show.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/top.h"
#include "controlplane/topology/as_json.h"

namespace sky::controlplane {
namespace {

TEST(Table, AlignsNumbersRightAndTextLeft) {
  Table table({"NAME", "COUNT", "DELAY"});
  table.add({"a", "7", "1.25 ms"});
  table.add({"longer", "12345", ""});
  EXPECT_EQ(table.text(),
            "NAME    COUNT    DELAY\n"
            "a           7  1.25 ms\n"
            "longer  12345        -\n");
}

TEST(Table, WithoutRowsIsItsHeadings) {
  EXPECT_EQ(Table({"A", "B"}).text(), "A  B\n");
}

TEST(Human, Durations) {
  EXPECT_EQ(human_duration(0), "0 ns");
  EXPECT_EQ(human_duration(850), "850 ns");
  EXPECT_EQ(human_duration(1'250'000), "1.25 ms");
  EXPECT_EQ(human_duration(12'340'000), "12.3 ms");
  EXPECT_EQ(human_duration(3'200'000'000), "3.20 s");
  EXPECT_EQ(human_duration(119'999'999'999), "120 s");
  EXPECT_EQ(human_duration(720'000'000'000), "12 min");
  EXPECT_EQ(human_duration(5ull * 3600 * 1'000'000'000), "5 h");
  EXPECT_EQ(human_duration(UINT64_MAX), "213503 d");
}

TEST(Human, Bytes) {
  EXPECT_EQ(human_bytes(12), "12 B");
  EXPECT_EQ(human_bytes(3'400), "3.40 kB");
  EXPECT_EQ(human_bytes(5'600'000'000), "5.60 GB");
}

TEST(Human, Rates) {
  EXPECT_EQ(human_rate(0), "0 /s");
  EXPECT_EQ(human_rate(0.2), "0.2 /s");
  EXPECT_EQ(human_rate(850), "850 /s");
  EXPECT_EQ(human_rate(1'250'000), "1.25 M/s");
  EXPECT_EQ(human_bit_rate(0), "0 bit/s");
  EXPECT_EQ(human_bit_rate(9'410'000'000), "9.41 Gbit/s");
}

TEST(Show, LinksAndWhatIsMissing) {
  const Json body = Json::parse(R"([{"link": "a1-g1", "peer": "g1", "port": "p0", "state": "up", "age_ns": 5000000000,
      "rtt_us": 210, "flaps": 0, "protection": "frame", "suite": "aes-256-gcm", "key_age_ns": 1000, "received": 7, "transmitted": 8, "bad_tags": 0},
      {"link": "a1-b1", "state": "handshaking", "rtt_us": "x", "peer": null}, 3])");
  EXPECT_EQ(show_text("links", body),
            "LINK   PEER  PORT  STATE           FOR     RTT  FLAPS  PROTECT     KEYS  RECEIVED  SENT  BAD TAGS  "
            "LAST REFUSAL\n"
            "a1-g1  g1    p0    up           5.00 s  210 us      0  frame    1.00 us         7     8         0  "
            "           -\n"
            "a1-b1  -     -     handshaking       -       -      -  -              -         -     -         -  "
            "           -\n");
}

TEST(Show, GroupsHaveARowAMember) {
  const Json body = Json::parse(R"([{"group": 2, "node": "d1", "state": "up", "copies": "twice", "members": [
      {"slot": 0, "circuit": "0123456789abcdef", "live": true, "weight": 1, "nodes": ["a1", "g1", "d1"]},
      {"slot": 1, "circuit": "fedcba9876543210", "live": false, "weight": 0, "nodes": ["a1", "b1", "d1"]}]},
      {"group": 3, "node": "g1", "state": "idle", "members": []}])");
  EXPECT_EQ(show_text("groups", body),
            "GROUP  NODE  STATE  SLOT  CIRCUIT   LIVE  WEIGHT  RTT  PACKETS  BYTES  COPIES  PATH\n"
            "    2  d1    up        0  01234567  yes        1    -        -      -  twice   a1 > g1 > d1\n"
            "    2  d1    up        1  fedcba98  no         0    -        -      -  twice   a1 > b1 > d1\n"
            "    3  g1    idle      -  -         -          -    -        -      -  -       -\n");
}

TEST(Show, DropsThatHappened) {
  EXPECT_EQ(show_text("drops", Json::parse(R"({"bad_tag": 3, "replayed": 0})")),
            "REASON   PACKETS\n"
            "bad_tag        3\n");
  EXPECT_EQ(show_text("drops", Json::parse(R"({"bad_tag": 0})")), "nothing was dropped\n");
  EXPECT_EQ(show_text("drops", Json::object()), "no dataplane is attached\n");
}

TEST(Show, CountersEndWithTheEquation) {
  const auto text = show_text("counters", Json::parse(R"({"received": 9, "accounting_in": 10, "accounting_out": 9,
      "under_way": 1, "dataplane_up_ns": 60000000000})"));
  EXPECT_NE(
      text.find("received + injected + copied = 10 = transmitted + delivered + punted + drops + held = 9, under way 1"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("60.0 s"), std::string::npos) << text;
}

TEST(Show, EveryWordHasATable) {
  for (const std::string& word : show_words()) {
    if (word == "drops" || word == "counters") continue;
    EXPECT_NE(show_text(word, Json::array()).find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), std::string::npos) << word;
  }
}

TEST(Show, CellsDoNotMoveTheCursor) {
  const auto text = show_text("links", Json::parse(R"([{"link": "\u001b[2Jx\n"}])"));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("?[2Jx?"), std::string::npos) << text;
}

TEST(Health, EachFaultWithItsNextStep) {
  Json body = Json::parse(R"({"status": "ok", "node": "a1", "domain": "alpha", "as_number": 65001, "address": "fc01::1",
      "uptime_ns": 3000000000, "links": {"up": 2, "all": 2}, "circuits": {"up": 4, "all": 4},
      "sessions": {"up": 1, "all": 1}, "destinations": 12, "faults": []})");
  EXPECT_EQ(health_text(body),
            "a1  domain alpha, AS 65001  fc01::1  up 3.00 s\n"
            "links 2/2 up   circuits 4/4 up   sessions 1/1 up   12 destinations\n"
            "\n"
            "healthy\n");
  body["faults"].push_back({{"fault", "link a1-b1 to b1 is down"}, {"next", "skyctl show links"}});
  EXPECT_NE(health_text(body).find("link a1-b1 to b1 is down  skyctl show links\n"), std::string::npos)
      << health_text(body);
}

class TopTest : public testing::Test {
 protected:
  TopTest() {
    before.health = Json::parse(R"({"status": "ok", "node": "a1", "domain": "alpha", "as_number": 65001,
        "address": "fc01::1", "uptime_ns": 3000000000, "links": {"up": 1, "all": 1}, "circuits": {"up": 4, "all": 4},
        "sessions": {"up": 1, "all": 1}, "destinations": 12, "faults": []})");
    before.ports = Json::parse(R"([{"port": "p0", "up": true, "received": 1000, "received_bytes": 1000000,
        "transmitted": 0, "transmitted_bytes": 0, "full": 7}])");
    before.queues = Json::parse(R"([
        {"port": "p0", "queue": "control", "transmitted": 5, "transmitted_bytes": 500, "queued": 0},
        {"port": "p0", "queue": "realtime", "transmitted": 9, "transmitted_bytes": 900, "queued": 0}])");
    before.links = Json::parse(R"([{"link": "a1-g1", "peer": "g1", "state": "up", "rtt_us": 210, "received": 1000,
        "received_bytes": 1000000, "transmitted": 0, "transmitted_bytes": 0, "bad_tags": 0}])");
    before.workers = Json::parse(R"([{"worker": 0, "core": 3, "busy_ns": 0, "loops": 5, "sleeps": 5, "received": 1000,
        "transmitted": 0, "drops": 3, "queued": 0, "held": 1}])");
    before.drops = Json::parse(R"({"bad_tag": 3, "port_full": 0, "replayed": 9})");
    before.counters = Json::parse(R"({"buffers": 4096, "buffers_free": 4000})");
    now = before;
    now.at_ns = 2'000'000'000;
  }

  Reading before, now;
};

TEST_F(TopTest, ShowsWhatMovedInASecond) {
  now.ports[0].update({{"received", 3000u}, {"received_bytes", 3'000'000u}, {"full", 8u}});
  now.queues[1].update({{"transmitted", 2009u}, {"transmitted_bytes", 200'900u}, {"queued", 3u}});
  now.links[0].update({{"received", 2000u}, {"received_bytes", 2'000'000u}});
  now.workers[0].update({{"busy_ns", 1'000'000'000u}, {"loops", 20'005u}, {"drops", 13u}, {"queued", 64u}});
  now.drops.update({{"bad_tag", 4u}, {"port_full", 9u}});
  EXPECT_EQ(top_text(before, now),
            "a1  domain alpha, AS 65001  fc01::1  up 3.00 s\n"
            "links 1/1 up   circuits 4/4 up   sessions 1/1 up   12 destinations\n"
            "healthy   4000 of 4096 buffers free\n"
            "\n"
            "PORT  UP   RECEIVED         BITS  SENT     BITS    FULL\n"
            "p0    yes  1.00 k/s  8.00 Mbit/s  0 /s  0 bit/s  0.5 /s\n"
            "\n"
            "PORT  QUEUE         SENT        BITS  QUEUED\n"
            "p0    control       0 /s     0 bit/s       0\n"
            "p0    realtime  1.00 k/s  800 kbit/s       3\n"
            "\n"
            "LINK   PEER  STATE     RTT  RECEIVED         BITS  SENT     BITS  BAD TAGS\n"
            "a1-g1  g1    up     210 us    500 /s  4.00 Mbit/s  0 /s  0 bit/s      0 /s\n"
            "\n"
            "WORKER  CORE  BUSY     TURNS  SLEEPS  RECEIVED  SENT   DROPS  QUEUED  HELD\n"
            "     0     3  50 %  10.0 k/s    0 /s      0 /s  0 /s  5.0 /s      64     1\n"
            "\n"
            "DROPPED FOR    RATE  IN ALL\n"
            "port_full    4.5 /s       9\n"
            "bad_tag      0.5 /s       4\n");
}

TEST_F(TopTest, WhatStartedAnewHasNoRateYet) {
  now.ports[0]["received"] = 5u;
  now.links[0]["link"] = "a1-x1";  // was not there before
  now.drops["replayed"] = 1u;
  now.health["faults"].push_back({{"fault", "no dataplane"}, {"next", "x"}});
  now.counters = Json::object();
  const std::string text = top_text(before, now);
  EXPECT_NE(text.find("p0    yes         -"), std::string::npos) << text;
  EXPECT_NE(text.find("a1-x1  g1    up     210 us         -"), std::string::npos) << text;
  EXPECT_NE(text.find("nothing is dropped\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n1 wrong: skyctl health\n"), std::string::npos) << text;
}

TEST_F(TopTest, WithoutADataplaneThereAreHeadingsAlone) {
  now.workers = now.drops = Json::array();
  now.ports = Json::parse(R"([{"port": "\u001b[2Jp"}, 7, null])");
  const std::string text = top_text(before, now);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("?[2Jp"), std::string::npos) << text;
}

TEST(Top, ATerminalIsDrawnOverAndNeverScrolled) {
  EXPECT_EQ(redrawn("ab\n\nlonger\n", 24, 80), "\x1b[Hab\x1b[K\n\x1b[K\nlonger\x1b[K\x1b[J");
  EXPECT_EQ(redrawn("ab\n\nlonger\n", 3, 4), "\x1b[Hab\x1b[K\n\x1b[K\nlong\x1b[K\x1b[J");
  EXPECT_EQ(redrawn("a\nb\nc\n", 2, 80), "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
  EXPECT_EQ(redrawn("", 2, 80), "\x1b[H\x1b[J");
}

TEST(Trace, HopByHop) {
  const Json body = Json::parse(R"({"circuits": [{"circuit": "0123456789", "hops": [
      {"node": "a1", "link": "", "delay_us": 0}, {"node": "g1", "link": "a1-g1", "delay_us": 210},
      {"node": "d1", "link": "g1-d1", "delay_us": null}]}]})");
  EXPECT_EQ(trace_text(body),
            "circuit 01234567\n"
            "HOP  NODE  OVER   ROUND TRIP\n"
            "  0  a1    -      -\n"
            "  1  g1    a1-g1  210 us\n"
            "  2  d1    g1-d1  no answer\n");
}

TEST(Dot, DomainsAreBoxesAndLinksTellTheirDelay) {
  Topology topology;
  const auto alpha = topology.add_domain("alpha", 65001);
  const auto a1 = topology.add_node(alpha, "a1");
  const auto a2 = topology.add_node(alpha, "a\"2", {}, Role::host);
  topology.at(topology.add_link("a1-a2", a1, a2)).delay_ns = 1'000'000;
  EXPECT_EQ(dot_of(as_json(topology)),
            "graph skyedge {\n"
            "  node [shape=box];\n"
            "  subgraph cluster_0 {\n"
            "    label=\"alpha, AS 65001\";\n"
            "    \"a1\";\n"
            "    \"a\\\"2\" [shape=ellipse];\n"
            "  }\n"
            "  \"a1\" -- \"a\\\"2\" [label=\"a1-a2\\n1ms\"];\n"
            "}\n");
}

}  // namespace
}  // namespace sky::controlplane
