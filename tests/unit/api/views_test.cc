#include "controlplane/api/views.h"

#include <gtest/gtest.h>

#include "controlplane/api/api.h"
#include "controlplane/api/health.h"
#include "tests/support/shown_node.h"

namespace sky::controlplane {
namespace {

class ViewTest : public testing::Test, public test::ShownNode, public ApiBackend {
 protected:
  std::optional<Json> show(std::string_view what) override { return view(what, context()); }
  void ask(Event&& question) override { questions.push_back(std::move(question)); }
  const std::vector<std::string>& nodes() const override { return others; }
  bool watch(const WatchMessage&) override { return true; }
  const PacketWatch::Names& names() const override { return watched; }

  std::vector<std::string> faults() {
    std::vector<std::string> all;
    const Json health = *show("health");
    EXPECT_EQ(health["status"], health["faults"].empty() ? "ok" : "unhealthy");
    for (const Json& fault : health["faults"]) {
      EXPECT_FALSE(fault["next"].get<std::string>().empty());
      all.push_back(fault["fault"]);
    }
    return all;
  }

  /// The one answer, at once.
  Response answer_to(const Request& request) {
    std::optional<Response> got;
    api.handle(request, [&](Response response) { got = std::move(response); });
    EXPECT_TRUE(got);
    return got.value_or(Response{0, ""});
  }

  std::vector<std::string> others{"a1", "g1", "d1"};
  PacketWatch::Names watched{{"p0"}, {"a1-g1"}};
  std::vector<Event> questions;
  Api api{*this};
};

TEST_F(ViewTest, EveryWordShowsAndNoOther) {
  for (const char* list :
       {"links", "paths", "circuits", "groups", "sessions", "ports", "queues", "workers", "stages", "destinations"}) {
    EXPECT_TRUE(show(list)->is_array()) << list;
  }
  for (const char* one : {"health", "counters", "drops"}) EXPECT_TRUE(show(one)->is_object()) << one;
  for (const char* no : {"", "link", "links/", "../etc"}) EXPECT_FALSE(show(no)) << no;
}

TEST_F(ViewTest, LinksJoinTheCounters) {
  link().rtt_ns.set(1'234'567);
  link().flaps.set(2);
  link().heard_ns.set(kNow - 5);
  const Json row = (*show("links"))[0];
  EXPECT_EQ(row["link"], "a1-g1");
  EXPECT_EQ(row["rtt_us"], 1234);
  EXPECT_EQ(row["flaps"], 2);
  EXPECT_EQ(row["heard_ago_ns"], 5);
}

TEST_F(ViewTest, StagesShowWhatAPacketCostsThem) {
  EXPECT_TRUE(show("stages")->empty());
  StageStats& open = worker().stages[to_underlying(Stage::open)];
  open.calls.set(2);
  open.packets.set(65);
  open.clocks.set(6'190);
  const Json stages = *show("stages");
  ASSERT_EQ(stages.size(), 1u);
  EXPECT_EQ(stages[0]["stage"], "open");
  EXPECT_EQ(stages[0]["worker"], 0);
  EXPECT_EQ(stages[0]["clocks"], 6'190);
  EXPECT_EQ(stages[0]["packets_per_call"], 32.5);
  EXPECT_EQ(stages[0]["clocks_per_packet"], 95.2);
}

TEST_F(ViewTest, MembersFindTheirStatistics) {
  member(2 * kMaxMembers + 1).packets.set(77);
  EXPECT_EQ((*show("circuits"))[0]["packets"], 77);
  EXPECT_EQ((*show("groups"))[0]["members"][1]["packets"], 77);
  EXPECT_EQ((*show("groups"))[0]["members"][0]["packets"], 0);
  snapshot.circuits[0].group = GroupIndex{4};  // outside the page
  EXPECT_FALSE((*show("circuits"))[0].contains("packets"));
}

TEST_F(ViewTest, CountersShowBothSidesOfTheEquation) {
  worker().counters[to_underlying(Counter::received)].set(10);
  worker().counters[to_underlying(Counter::transmitted)].set(6);
  worker().drops[to_underlying(Drop::bad_tag)].set(3);
  const Json all = *show("counters");
  EXPECT_EQ(all["received"], 10);
  EXPECT_EQ(all["drops"], 3);
  EXPECT_EQ(all["accounting_in"], 10);
  EXPECT_EQ(all["accounting_out"], 9);
  EXPECT_EQ(all["under_way"], 1);
  EXPECT_EQ(all["setups_sent"], 5);
  EXPECT_EQ((*show("drops"))["bad_tag"], 3);
  EXPECT_EQ(show("drops")->size(), kDropReasons);
  EXPECT_EQ((*show("workers"))[0]["drops"], 3);
  EXPECT_EQ((*show("workers"))[0]["core"], 3);
}

TEST_F(ViewTest, QueuesAddUpToTheirPort) {
  for (const auto& [level, frames, queued] : {std::tuple{0u, 2u, 0u}, {1u, 30u, 4u}, {2u, 500u, 60u}}) {
    port().queues[level].transmitted.set(frames);
    port().queues[level].transmitted_bytes.set(frames * 100);
    port().queues[level].queued.set(queued);
  }
  const Json all = (*show("ports"))[0];
  EXPECT_EQ(all["transmitted"], 532);
  EXPECT_EQ(all["transmitted_bytes"], 53'200);
  EXPECT_EQ(all["queued"], 64);
  const Json queues = *show("queues");
  ASSERT_EQ(queues.size(), 3u);
  const Json realtime{
      {"port", "p0"}, {"queue", "realtime"}, {"transmitted", 30}, {"transmitted_bytes", 3'000}, {"queued", 4}};
  EXPECT_EQ(queues[1], realtime);
}

TEST_F(ViewTest, WithoutADataplaneTheRestIsShown) {
  counters.reset();
  EXPECT_EQ((*show("links"))[0]["link"], "a1-g1");
  EXPECT_EQ((*show("ports"))[0]["port"], "p0");
  EXPECT_EQ((*show("counters"))["setups_sent"], 5);
  EXPECT_FALSE(show("counters")->contains("received"));
  EXPECT_TRUE(show("workers")->empty());
  EXPECT_EQ(faults(), std::vector<std::string>{"no dataplane: no socket"});
}

TEST_F(ViewTest, AWellNodeHasNoFault) {
  EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(ViewTest, EachFaultIsNamed) {
  header().heartbeat_ns.set(kNow - kHangNs - 1);
  worker().heartbeat_ns.set(kNow - kHangNs - 1);
  header().buffers.set(1000);
  header().buffers_free.set(49);
  port().up.set(0);
  snapshot.links[0].state = "handshaking";
  snapshot.links[0].last_refusal = "another pre-shared key";
  snapshot.groups[0].members[1].live = false;
  snapshot.install.refused = 1;
  kernel_error = "kernel: sky0: link up: Operation not permitted";
  metrics_error = "router.yaml:9:12 metrics.listen: found [::1]:9477: Address already in use";
  EXPECT_EQ(faults(),
            (std::vector<std::string>{"the dataplane's main core hangs", "worker 0 hangs",
                                      "less than 5 % of the packet buffers are free",
                                      "port p0 (net_af_packet0,iface=veth0) has no carrier",
                                      "link a1-g1 to g1 is without keys: another pre-shared key",
                                      "1 of 2 circuits to d1 live", "the dataplane does not take 1 rows",
                                      "router.yaml:9:12 metrics.listen: found [::1]:9477: Address already in use",
                                      "kernel: sky0: link up: Operation not permitted"}));
  snapshot.groups[0].members[0].live = false;
  EXPECT_EQ(faults()[5], "no live circuit to d1");
  snapshot.groups[0].state = "idle";
  EXPECT_EQ(faults().size(), 8u);
}

TEST_F(ViewTest, ReadersReadAndNoMore) {
  EXPECT_EQ(answer_to({"GET", "/v1/links", "", false}).status, 200u);
  EXPECT_EQ(answer_to({"GET", "/v1/nothing", "", false}).status, 404u);
  EXPECT_EQ(answer_to({"GET", "/", "", true}).status, 404u);
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH"}) {
    EXPECT_EQ(answer_to({method, "/v1/ping", R"({"node": "d1"})", false}).status, 403u) << method;
  }
  EXPECT_EQ(answer_to({"DELETE", "/v1/links", "", true}).status, 405u);
  EXPECT_EQ(answer_to({"POST", "/v1/links", R"({"node": "d1"})", true}).status, 404u);
  EXPECT_TRUE(questions.empty());
}

TEST_F(ViewTest, QuestionsThatAreNone) {
  for (const char* body :
       {"", "{", "[]", "{}", R"({"node": 1})", R"({"node": "d1", "x": 1})", "{\"node\": \"\"}", "\"d1\"", "\xff\xfe"}) {
    EXPECT_EQ(answer_to({"POST", "/v1/ping", body, true}).status, 400u) << body;
  }
  const Response unknown = answer_to({"POST", "/v1/trace", R"({"node": "d2"})", true});
  EXPECT_EQ(unknown.status, 404u);
  EXPECT_NE(unknown.body.find("did you mean"), std::string::npos) << unknown.body;
  EXPECT_TRUE(questions.empty());
}

TEST_F(ViewTest, AQuestionIsAnsweredOnceWithItsToken) {
  std::vector<Response> got;
  const auto keep = [&](Response response) { got.push_back(std::move(response)); };
  api.handle({"POST", "/v1/ping", R"({"node": "d1"})", true}, keep);
  api.handle({"POST", "/v1/trace", R"({"node": "g1"})", true}, keep);
  ASSERT_EQ(questions.size(), 2u);
  EXPECT_EQ(std::get<TraceRequest>(questions[1]).node, "g1");
  const uint64_t token = std::get<PingRequest>(questions[0]).token;
  api.answer({token + 100, "", {}});
  EXPECT_TRUE(got.empty());
  api.answer({token, "", {{"ab12", {{"d1", "g1-d1", 2'500'000}, {"x1", "", -1}}}}});
  api.answer({token, "", {}});
  ASSERT_EQ(got.size(), 1u);
  const Json body = Json::parse(got[0].body);
  EXPECT_EQ(body["circuits"][0]["circuit"], "ab12");
  EXPECT_EQ(body["circuits"][0]["hops"][0]["delay_us"], 2500);
  EXPECT_TRUE(body["circuits"][0]["hops"][1]["delay_us"].is_null());
  api.answer({std::get<TraceRequest>(questions[1]).token, "no circuit", {}});
  EXPECT_EQ(got.at(1).status, 504u);
}

TEST_F(ViewTest, OpenQuestionsAreBounded) {
  for (size_t i = 0; i < Api::kMostQuestions; ++i) {
    api.handle({"POST", "/v1/ping", R"({"node": "d1"})", true}, [](Response) {});
  }
  EXPECT_EQ(answer_to({"POST", "/v1/ping", R"({"node": "d1"})", true}).status, 503u);
}

}  // namespace
}  // namespace sky::controlplane
