#include "controlplane/metrics/exposition.h"

#include <gtest/gtest.h>
#include <prometheus/check_names.h>

#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "controlplane/metrics/page.h"
#include "tests/support/shown_node.h"

namespace sky::controlplane {
namespace {

/// The value of each series, by its name and labels as they are written.
using Series = std::map<std::string, double>;

/// What an exposition says, read more strictly than Prometheus does: a family is HELP, TYPE and then its own samples
/// alone, stands once, and all of its series have the same labels; no series twice, no timestamps, no exemplars.
class Exposition {
 public:
  explicit Exposition(const std::string& text) {
    EXPECT_TRUE(text.ends_with('\n'));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      SCOPED_TRACE(line);
      if (line.starts_with("# HELP ")) {
        help(line.substr(7));
      } else if (line.starts_with("# TYPE ")) {
        type(line.substr(7));
      } else {
        sample(line);
      }
    }
    EXPECT_TRUE(typed_) << "the last family has no type";
  }

  Series series;
  std::map<std::string, std::string> types;  ///< by family

 private:
  void help(const std::string& rest) {
    EXPECT_TRUE(typed_) << "the family before has no type";
    const size_t blank = rest.find(' ');
    family_ = rest.substr(0, blank);
    labels_.clear();
    typed_ = false;
    EXPECT_TRUE(prometheus::CheckMetricName(family_));
    EXPECT_FALSE(types.contains(family_)) << "twice";
    EXPECT_LT(blank + 1, rest.size()) << "no help";
  }

  void type(const std::string& rest) {
    const std::string type = rest.substr(rest.find(' ') + 1);
    EXPECT_EQ(rest, family_ + " " + type);
    EXPECT_TRUE(type == "counter" || type == "gauge");
    EXPECT_EQ(type == "counter", family_.ends_with("_total"));
    types[family_] = type;
    typed_ = true;
  }

  void sample(const std::string& line) {
    ASSERT_TRUE(typed_);
    ASSERT_TRUE(line.starts_with(family_));
    size_t at = family_.size();
    std::vector<std::string> names;
    if (line.at(at) == '{') {
      for (++at; line.at(at) != '}';) at = label(line, at, names);
      ++at;
    }
    ASSERT_EQ(line.at(at), ' ');
    double value = 0;
    const char* end = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data() + at + 1, end, value);
    ASSERT_TRUE(error == std::errc{} && stop == end);
    EXPECT_TRUE(series.emplace(line.substr(0, at), value).second) << "twice";
    if (labels_.empty()) labels_ = names;
    EXPECT_EQ(names, labels_) << "another sample of the family has other labels";
  }

  /// One label from `at`; returns where it ended, the comma behind it taken.
  static size_t label(const std::string& line, size_t at, std::vector<std::string>& names) {
    const size_t equals = line.find("=\"", at);
    if (equals == std::string::npos) throw std::runtime_error("no label: " + line);
    names.push_back(line.substr(at, equals - at));
    EXPECT_TRUE(prometheus::CheckLabelName(names.back()));
    for (at = equals + 2; line.at(at) != '"'; ++at) {
      if (line[at] != '\\') continue;
      ++at;
      EXPECT_TRUE(line.at(at) == '\\' || line[at] == '"' || line[at] == 'n');
    }
    ++at;
    EXPECT_TRUE(line.at(at) == ',' || line[at] == '}');
    return line[at] == ',' ? at + 1 : at;
  }

  std::string family_;
  std::vector<std::string> labels_;
  bool typed_ = true;
};

/// Two workers: a word of a port, link or member is the sum over both.
class MetricsTest : public testing::Test, public test::ShownNode {
 protected:
  MetricsTest() : ShownNode(2) {
    router.circuits.keep.push_back({"d1", {}});
    snapshot.groups[0].kept = true;
    snapshot.groups[0].members[1].weight = 1;
  }

  Exposition scrape() { return Exposition(metrics_text(context())); }
};

TEST_F(MetricsTest, EveryMetricIsWellFormed) {
  const Exposition found = scrape();
  EXPECT_EQ(found.types.size(), metrics().size());
  for (const Metric& metric : metrics()) {
    EXPECT_TRUE(metric.name.starts_with("skyedge_")) << metric.name;
    EXPECT_EQ(metric.name.find("_ns"), std::string_view::npos) << metric.name;
    EXPECT_FALSE(metric.help.ends_with('.')) << metric.name;
  }
}

/// Each word of the page has a value of its own, which must be told, in seconds where it is a time.
TEST_F(MetricsTest, EveryWordOfTheCounterPageIsTold) {
  std::vector<std::pair<std::string, uint64_t>> planted;
  uint64_t next = 7'000'003;
  // The words of an object, in the rows of both workers: their sum is told.
  const auto plant_sums = [&](const std::string& name, auto* words, auto* of_other, size_t count) {
    for (size_t word = 0; word < count; ++word) {
      words[word].set(next += 1'009);
      of_other[word].set(next += 1'013);
      planted.emplace_back(fmt::format("{} word {}", name, word), words[word].get() + of_other[word].get());
    }
  };
  const auto words_of = [](auto& object) { return reinterpret_cast<StatsWord*>(&object); };
  // Alignment fills some objects up: words that have no name stand behind these. One more that has a name does not
  // compile, as it must be planted below.
  [[maybe_unused]] const auto& [p1, p2, p3, p4, p5] = port();
  [[maybe_unused]] const auto& [q1, q2, q3] = port().queues[0];
  [[maybe_unused]] const auto& [l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11, l12, l13, l14, l15] = link();
  [[maybe_unused]] const auto& [w1, w2, w3, w4, w5, w6] = worker();
  constexpr size_t kPortBytes = offsetof(PortStats, queues) + sizeof(PortStats::queues);
  plant_sums("port", words_of(port()), words_of(port(1)), kPortBytes / sizeof(StatsWord));
  plant_sums("link", words_of(link()), words_of(link(1)), offsetof(LinkStats, marked) / sizeof(StatsWord) + 1);
  MemberStats& used = member(2 * kMaxMembers + 1);
  plant_sums("member", words_of(used), words_of(member(2 * kMaxMembers + 1, 1)),
             sizeof(MemberStats) / sizeof(StatsWord));
  // A node that is not kept adds to what is summed over all.
  MemberStats& other = member(0);
  for (auto word : {&MemberStats::packets, &MemberStats::bytes, &MemberStats::damaged, &MemberStats::deaths,
                    &MemberStats::probes_sent, &MemberStats::probes_lost, &MemberStats::deaths_by_list}) {
    (other.*word).set(next += 1'021);
    planted.emplace_back("all members", counters->members()[2 * kMaxMembers + 1](word) + next);
  }
  plant_sums("drop", worker().drops, worker(1).drops, kDropReasons);
  const auto plant = [&](const std::string& name, StatsWord& word) {
    word.set(next += 1'019);
    planted.emplace_back(name, next);
  };
  for (size_t index = 0; index < 2; ++index) {
    for (size_t i = 0; i < kCounters; ++i) plant(std::string(kCounterNames[i]), worker(index).counters[i]);
    plant("heartbeat", worker(index).heartbeat_ns);
    plant("busy", worker(index).busy_ns);
    plant("stretch", worker(index).timer_stretch);
    for (StageStats& stage : worker(index).stages) {
      for (StatsWord* word : {&stage.calls, &stage.packets, &stage.clocks}) plant("stage", *word);
    }
  }
  for (auto word : {&StatsHeader::started_ns, &StatsHeader::heartbeat_ns, &StatsHeader::attachments,
                    &StatsHeader::batches, &StatsHeader::batches_refused, &StatsHeader::rules, &StatsHeader::buffers,
                    &StatsHeader::buffers_free, &StatsHeader::session_send_keys})
    plant("header", header().*word);

  std::set<double> told;
  for (const auto& [name, value] : scrape().series) told.insert(value);
  for (const auto& [name, value] : planted) {
    const double raw = static_cast<double>(value), age = static_cast<double>(kNow - value);
    EXPECT_TRUE(told.contains(raw) || told.contains(raw / 1e9) || told.contains(age / 1e9)) << name << " " << value;
  }
}

TEST_F(MetricsTest, ValuesStandWhereTheyBelong) {
  worker(1).counters[to_underlying(Counter::queued)].set(9);
  worker(0).drops[to_underlying(Drop::bad_tag)].set(2);
  worker(1).drops[to_underlying(Drop::bad_tag)].set(3);
  worker(0).busy_ns.set(1'500'000'000);
  port(0).received_bytes.set(1ull << 50);
  port(1).received_bytes.set(1);
  port(0).queues[to_underlying(Queue::realtime)].transmitted.set(30);
  port(1).queues[to_underlying(Queue::realtime)].transmitted.set(3);
  port(1).queues[to_underlying(Queue::other)].queued.set(17);
  link(1).rtt_ns.set(250'000);
  link(0).send_epoch.set(130);
  link(0).send_keys.set(5);
  snapshot.session_handshakes = 21;
  link(1).heard_ns.set(kNow - 20'000'000);
  member(2 * kMaxMembers, 1).packets.set(4);
  member(0).packets.set(6);  // of a node that is not kept
  header().started_ns.set(kNow - 60'000'000'000);
  snapshot.handshakes_refused = {{"another pre-shared key", 8}};
  snapshot.install.rows = 12;

  Series found = scrape().series;
  EXPECT_EQ(found["skyedge_worker_queued_frames{worker=\"1\"}"], 9);
  EXPECT_EQ(found["skyedge_worker_queued_frames{worker=\"0\"}"], 0);
  EXPECT_EQ(found["skyedge_dropped_packets_total{reason=\"bad_tag\"}"], 5);
  EXPECT_EQ(found["skyedge_worker_busy_seconds_total{worker=\"0\"}"], 1.5);
  EXPECT_EQ(found["skyedge_port_received_bytes_total{port=\"p0\"}"], static_cast<double>((1ull << 50) + 1));
  EXPECT_EQ(found["skyedge_port_up{port=\"p0\"}"], 1);
  EXPECT_EQ(found["skyedge_link_rtt_seconds{link=\"a1-g1\"}"], 0.00025);
  EXPECT_EQ(found["skyedge_link_send_epoch{link=\"a1-g1\"}"], 130);
  EXPECT_EQ(found["skyedge_link_send_keys_total{link=\"a1-g1\"}"], 5);
  EXPECT_EQ(found["skyedge_session_handshakes_total"], 21);
  EXPECT_EQ(found["skyedge_port_transmitted_frames_total{port=\"p0\",queue=\"realtime\"}"], 33);
  EXPECT_EQ(found["skyedge_port_transmitted_frames_total{port=\"p0\",queue=\"other\"}"], 0);
  EXPECT_EQ(found["skyedge_port_queued_frames{port=\"p0\",queue=\"other\"}"], 17);
  EXPECT_EQ(found["skyedge_link_silence_seconds{link=\"a1-g1\"}"], 0.02);
  EXPECT_EQ(found["skyedge_circuit_packets_total"], 10);
  EXPECT_EQ(found["skyedge_kept_packets_total{node=\"d1\"}"], 4);
  EXPECT_EQ(found["skyedge_kept_circuits_live{node=\"d1\"}"], 2);
  EXPECT_EQ(found["skyedge_circuits{role=\"ingress\",state=\"up\"}"], 1);
  EXPECT_EQ(found["skyedge_circuits{role=\"transit\",state=\"setup\"}"], 0);
  EXPECT_EQ(found["skyedge_groups{state=\"up\"}"], 1);
  EXPECT_EQ(found["skyedge_links{state=\"up\"}"], 1);
  EXPECT_EQ(found["skyedge_handshakes_refused_total{reason=\"another pre-shared key\"}"], 8);
  EXPECT_EQ(found["skyedge_setups_sent_total"], 5);
  EXPECT_EQ(found["skyedge_install_rows"], 12);
  EXPECT_EQ(found["skyedge_dataplane_uptime_seconds"], 60);
  EXPECT_EQ(found["skyedge_dataplane_attached"], 1);
  EXPECT_EQ(found["skyedge_dataplane_under_way_packets"], -14);
}

TEST_F(MetricsTest, WhatIsNotKnownIsAbsent) {
  Series found = scrape().series;
  EXPECT_FALSE(found.contains("skyedge_link_rtt_seconds{link=\"a1-g1\"}"));
  EXPECT_FALSE(found.contains("skyedge_link_silence_seconds{link=\"a1-g1\"}"));
  EXPECT_FALSE(found.contains("skyedge_kept_rtt_seconds{node=\"d1\"}"));
  counters.reset();
  found = scrape().series;
  EXPECT_EQ(found["skyedge_dataplane_attached"], 0);
  EXPECT_EQ(found["skyedge_destinations"], 2);
  for (const auto& [name, value] : found) {
    EXPECT_FALSE(name.starts_with("skyedge_port_") || name.starts_with("skyedge_worker_")) << name;
  }
}

TEST_F(MetricsTest, TheRoundTripIsThatOfTheCircuitThatTrafficTakes) {
  auto& members = snapshot.groups[0].members;
  const auto at = [&](size_t which) -> MemberStats& {
    return member(size_t{to_underlying(snapshot.groups[0].index)} * kMaxMembers + members[which].slot);
  };
  at(0).rtt_ns.set(3'000'000);
  at(1).rtt_ns.set(1'000'000);
  members[0].weight = 0;
  members[1].weight = 1;
  members[0].live = members[1].live = true;
  EXPECT_EQ(scrape().series["skyedge_kept_rtt_seconds{node=\"d1\"}"], 0.001);
  members[1].live = false;
  EXPECT_EQ(scrape().series["skyedge_kept_rtt_seconds{node=\"d1\"}"], 0.003) << "a standby carries it";
}

/// Groups of nodes that are not kept come and go with the network's wishes, and add no series.
TEST_F(MetricsTest, TheNetworkAddsNoSeries) {
  const size_t before = scrape().series.size();
  for (uint32_t number = 0; number < 1000; ++number) {
    GroupSnapshot& group = snapshot.groups.emplace_back(snapshot.groups[0]);
    group.index = GroupIndex{number};
    group.node = fmt::format("n{}", number);
    group.kept = false;
    snapshot.circuits.emplace_back(snapshot.circuits[0]).circuit = group.node;
    snapshot.sessions.emplace_back().state = "up";
    snapshot.destinations.emplace_back();
  }
  EXPECT_EQ(scrape().series.size(), before);
}

TEST_F(MetricsTest, ForeignTextStaysInItsLabel) {
  const size_t before = scrape().series.size();
  snapshot.links[0].peer = "g\"1\\\n} 7";
  Series found = scrape().series;
  EXPECT_EQ(found.size(), before);
  EXPECT_EQ(found[R"(skyedge_link_info{link="a1-g1",peer="g\"1\\\n} 7",port=""})"], 1);
}

TEST_F(MetricsTest, AGroupOutsideThePageCountsNothing) {
  snapshot.groups[0].index = GroupIndex{4};
  EXPECT_EQ(scrape().series["skyedge_kept_packets_total{node=\"d1\"}"], 0);
}

TEST(Scrape, IsTheOneQuestion) {
  unsigned asked = 0;
  const auto answer = [&](const std::string& method, const std::string& path) {
    return answer_scrape({method, path, "", false}, [&] { return std::to_string(++asked); });
  };
  const Response scraped = answer("GET", "/metrics");
  EXPECT_EQ(scraped.status, 200u);
  EXPECT_EQ(scraped.body, "1");
  EXPECT_EQ(scraped.type, "text/plain; version=0.0.4; charset=utf-8");
  for (const char* path : {"/", "", "/metrics/", "/metricsx", "/v1/links"}) {
    EXPECT_EQ(answer("GET", path).status, 404u) << path;
    EXPECT_EQ(answer("POST", path).status, 404u) << path;
  }
  for (const char* method : {"POST", "PUT", "HEAD", "DELETE", "get", ""}) {
    EXPECT_EQ(answer(method, "/metrics").status, 405u) << method;
    EXPECT_EQ(answer(method, "/metrics").allow, "GET");
  }
  EXPECT_EQ(asked, 1u);
}

TEST(Page, IsUpToDate) {
  std::ostringstream page;
  page << std::ifstream(SKY_METRICS_PAGE).rdbuf();
  EXPECT_TRUE(page.str() == metrics_page())
      << "docs/metrics.md is out of date: build/controlplane/metrics/metrics-page > docs/metrics.md";
}

}  // namespace
}  // namespace sky::controlplane
