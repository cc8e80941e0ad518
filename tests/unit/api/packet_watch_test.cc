// Whoever asks to see packets: one at a time, bounded, and gone when nobody asks any more.
#include "controlplane/api/packet_watch.h"

#include <gtest/gtest.h>

#include "dataplane/protocol/counters.h"

namespace sky::controlplane {
namespace {

class PacketWatchTest : public testing::Test {
 protected:
  /// The answer, or status 0 while there is none.
  struct Reply {
    unsigned status = 0;
    Json body;
  };
  std::shared_ptr<Reply> post(std::string_view what, const Json& body) {
    auto reply = std::make_shared<Reply>();
    watch.handle(what, body.dump(), names, [reply](const Response& response) {
      EXPECT_EQ(0u, reply->status) << "answered once";
      *reply = {response.status, Json::parse(response.body)};
    });
    return reply;
  }
  Json begin(const Json& match = Json::object(), uint32_t count = 10) {
    const auto reply = post("", {{"points", {"rx"}}, {"match", match}, {"count", count}});
    EXPECT_EQ(200u, reply->status) << reply->body;
    return {{"watch", reply->body.value("watch", 0)}};
  }
  SeenPacket record() const {
    SeenPacket record{.request = asked.back().request, .packet = 1, .points = kWatchRx, .length = 3, .kept = 2};
    record.bytes = {0xab, 0x01};
    return record;
  }
  SeenPacket last(uint64_t missed = 0, InstallError error = InstallError::none) const {
    return {.request = asked.back().request, .missed = missed, .last = 1, .error = error};
  }

  bool attached = true;
  std::vector<WatchMessage> asked;
  PacketWatch::Names names{{"p0", "p1"}, {"a1-b1", "a1-c1"}};
  PacketWatch watch{[this](const WatchMessage& message) {
    asked.push_back(message);
    return attached;
  }};
};

TEST_F(PacketWatchTest, ReadsEveryMatch) {
  begin({{"port", "p1"}, {"link", "a1-c1"}, {"route", 5}, {"type", 17}, {"drop", "bad_tag"}}, 7);
  ASSERT_EQ(1u, asked.size());
  const WatchMessage& ask = asked[0];
  EXPECT_EQ(kWatchRx, ask.points);
  EXPECT_EQ(31, ask.matches);
  EXPECT_EQ(PortIndex{1}, ask.port);
  EXPECT_EQ(LinkIndex{1}, ask.link);
  EXPECT_EQ(RouteId{5}, ask.route);
  EXPECT_EQ(17, ask.type);
  EXPECT_EQ(static_cast<uint8_t>(Drop::bad_tag), ask.reason);
  EXPECT_EQ(7u, ask.count);
}

TEST_F(PacketWatchTest, RefusesByName) {
  const std::vector<std::pair<Json, std::string>> wrong{
      {{{"points", {"rx"}}}, "count: found none"},
      {{{"count", 1}}, "points: found none"},
      {{{"points", {"rx", "stages"}}, {"count", 1}}, "stages stands alone"},
      {{{"points", {"ry"}}, {"count", 1}}, "points: found \"ry\""},
      {{{"points", {"rx"}}, {"count", -1}}, "count: found -1"},
      {{{"points", {"rx"}}, {"count", uint64_t{1} << 32}}, "wanted a number up to 4294967295"},
      {{{"points", {"rx"}}, {"count", 1}, {"match", {{"port", "p2"}}}},
       "port: found \"p2\", wanted a known one; did you mean"},
      {{{"points", {"rx"}}, {"count", 1}, {"match", {{"port", 2}}}}, "port: found \"2\""},
      {{{"points", {"rx"}}, {"count", 1}, {"match", {{"type", 256}}}}, "type: found 256"},
      {{{"points", {"rx"}}, {"count", 1}, {"match", {{"mac", 1}}}}, "match: found \"mac\""},
      {{{"points", {"rx"}}, {"count", 1}, {"other", 1}}, "found \"other\""},
      {Json::array(), "wanted a JSON object"}};
  for (const auto& [body, text] : wrong) {
    const auto reply = post("", body);
    EXPECT_EQ(400u, reply->status) << body;
    EXPECT_NE(reply->body.dump().find(Json(text).dump().substr(1, text.size() - 1)), std::string::npos) << reply->body;
  }
  EXPECT_TRUE(asked.empty());
}

TEST_F(PacketWatchTest, ShowsARecord) {
  const Json id = begin();
  SeenPacket packet = record();
  packet.stage = Stage::open;
  packet.reason = static_cast<uint8_t>(Drop::bad_tag);
  packet.link = kNoLink;
  watch.seen(packet);
  const auto reply = post("/next", id);
  ASSERT_EQ(200u, reply->status);
  const Json& row = reply->body.at("records").at(0);
  EXPECT_EQ(row.at("stage"), "open");
  EXPECT_EQ(row.at("verdict"), "drop");
  EXPECT_EQ(row.at("drop"), "bad_tag");
  EXPECT_EQ(row.at("port"), "p0");
  EXPECT_EQ(row.at("link"), nullptr);
  EXPECT_EQ(row.at("bytes"), "ab01");
  EXPECT_EQ(row.at("length"), 3);
  EXPECT_FALSE(reply->body.at("done").get<bool>());
}

TEST_F(PacketWatchTest, WaitsForTheNextRecordAndTheEnd) {
  const Json id = begin();
  auto reply = post("/next", id);
  EXPECT_EQ(0u, reply->status);
  watch.seen(record());
  EXPECT_EQ(1u, reply->body.at("records").size());
  reply = post("/next", id);
  watch.tick();
  EXPECT_EQ(200u, reply->status) << "not for ever";
  EXPECT_EQ(0u, reply->body.at("records").size());
  reply = post("/next", id);
  watch.seen(last(5));
  EXPECT_TRUE(reply->body.at("done").get<bool>());
  EXPECT_EQ(5, reply->body.at("missed"));
  EXPECT_EQ(404u, post("/next", id)->status);
  EXPECT_EQ(1u, asked.size()) << "it ended by itself";
}

TEST_F(PacketWatchTest, OneAtATime) {
  const Json id = begin();
  EXPECT_EQ(409u, post("", {{"points", {"tx"}}, {"count", 1}})->status);
  EXPECT_EQ(404u, post("/next", {{"watch", 99}})->status);
  EXPECT_EQ(404u, post("/other", id)->status);
  EXPECT_EQ(200u, post("/end", id)->status);
  ASSERT_EQ(2u, asked.size());
  EXPECT_EQ(0u, asked[1].count);
  const SeenPacket late = record();
  begin();
  watch.seen(late);
  EXPECT_EQ(0u, post("/next", {{"watch", 2}})->status) << "of the one before";
}

TEST_F(PacketWatchTest, WhoStaysAwayLosesIt) {
  begin();
  for (unsigned second = 0; second < PacketWatch::kIdleSeconds; ++second) {
    EXPECT_EQ(1u, asked.size());
    watch.tick();
  }
  EXPECT_EQ(0u, asked.back().count);
  begin();
}

TEST_F(PacketWatchTest, KeepsSoManyAndCountsTheRest) {
  const Json id = begin();
  for (size_t i = 0; i < PacketWatch::kMostQueued + 3; ++i) watch.seen(record());
  watch.seen(last(10));
  size_t got = 0;
  for (bool done = false; !done;) {
    const auto reply = post("/next", id);
    EXPECT_LE(reply->body.at("records").size(), PacketWatch::kMostInAnswer);
    got += reply->body.at("records").size();
    EXPECT_EQ(13, reply->body.at("missed"));
    done = reply->body.at("done").get<bool>();
  }
  EXPECT_EQ(PacketWatch::kMostQueued, got);
}

TEST_F(PacketWatchTest, EndsWithTheDataplaneAndSaysSo) {
  attached = false;
  EXPECT_EQ(503u, post("", {{"points", {"rx"}}, {"count", 1}})->status);
  attached = true;
  auto reply = post("/next", begin());
  watch.detached();
  EXPECT_EQ(reply->body.value("error", ""), "the dataplane went away");
  reply = post("/next", begin());
  watch.seen(last(0, InstallError::bad_value));
  EXPECT_EQ(reply->body.value("error", ""), "the dataplane refuses it");
}

}  // namespace
}  // namespace sky::controlplane
