#include "controlplane/api/packet_watch.h"

#include <sodium.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <span>
#include <utility>

#include "dataplane/base/config_error.h"
#include "dataplane/base/result.h"
#include "dataplane/protocol/counters.h"

namespace sky::controlplane {
namespace {

Response reply(unsigned status, const Json& body) {
  return {status, body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Response error(unsigned status, std::string text) {
  return reply(status, Json::object({{"error", std::move(text)}}));
}

template <typename Names>
std::optional<size_t> index_in(const Names& names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<size_t>(found - std::begin(names));
}

template <typename Names>
Error unknown(std::string_view key, const std::string& value, const Names& names) {
  const std::vector<std::string> all(std::begin(names), std::end(names));
  const std::string near = nearest(value, all);
  return {fmt::format("{}: found {}, wanted a known one{}", key, quote(value),
                      near.empty() ? "" : "; did you mean " + quote(near) + "?")};
}

/// One of `names`, as its index.
template <typename Names, typename Index>
Result<> read_name(std::string_view key, const Json& value, const Names& names, Index& index) {
  const std::string name = value.is_string() ? value.get<std::string>() : value.dump();
  const auto found = index_in(names, name);
  if (!found) return std::unexpected(unknown(key, name, names));
  index = static_cast<Index>(*found);
  return {};
}

template <typename Number>
Result<> read_number(std::string_view key, const Json& value, uint64_t most, Number& number) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > most)
    return fail("{}: found {}, wanted a number up to {}", key, value.dump(), most);
  number = static_cast<Number>(value.get<uint64_t>());
  return {};
}

Result<> read_match(const std::string& key, const Json& value, const PacketWatch::Names& names, WatchMessage& ask) {
  const auto matched = [&](uint8_t bit, Result<> read) {
    ask.matches |= bit;
    return read;
  };
  if (key == "port") return matched(kMatchPort, read_name(key, value, names.ports, ask.port));
  if (key == "link") return matched(kMatchLink, read_name(key, value, names.links, ask.link));
  if (key == "route") return matched(kMatchRoute, read_number(key, value, UINT32_MAX, ask.route));
  if (key == "type") return matched(kMatchType, read_number(key, value, UINT8_MAX, ask.type));
  if (key == "drop") return matched(kMatchReason, read_name(key, value, kDropNames, ask.reason));
  return fail("match: found {}, wanted port, link, route, type or drop", quote(key));
}

Result<WatchMessage> read_ask(const Json& body, const PacketWatch::Names& names) {
  WatchMessage ask;
  for (const auto& [key, value] : body.items()) {
    if (key == "count") {
      if (auto read = read_number(key, value, UINT32_MAX, ask.count); !read) return std::unexpected(read.error());
    } else if (key == "points" && value.is_array()) {
      for (const Json& point : value) {
        uint8_t bit = 0;
        if (auto read = read_name(key, point, kWatchPointNames, bit); !read) return std::unexpected(read.error());
        ask.points |= static_cast<uint8_t>(1u << bit);
      }
    } else if (key == "match" && value.is_object()) {
      for (const auto& [word, wanted] : value.items()) {
        if (auto read = read_match(word, wanted, names, ask); !read) return std::unexpected(read.error());
      }
    } else {
      return fail("found {}, wanted points, match and count", quote(key));
    }
  }
  if (ask.count == 0) return fail("count: found none, wanted 1 at least");
  if (ask.points == 0) return fail("points: found none, wanted some of rx, tx, dropped and opened, or stages");
  if ((ask.points & kWatchStages) != 0 && ask.points != kWatchStages) return fail("points: stages stands alone");
  if ((ask.points & kWatchStages) != 0 && ask.count > kMostNumbered)
    return fail("count: found {}, wanted at most {} packets", ask.count, kMostNumbered);
  return ask;
}

uint64_t clock_ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

template <typename Index>
Json name_at(const std::vector<std::string>& names, Index index) {
  const auto at = size_t{to_underlying(index)};
  return at < names.size() ? Json(names[at]) : Json(nullptr);
}

constexpr std::array<std::string_view, kForms> kFormNames{"wire", "opened", "opened_inside", "ip"};

Json record_json(const SeenPacket& record, const PacketWatch::Names& names, uint64_t epoch_ns) {
  Json points = Json::array();
  for (size_t bit = 0; bit < kWatchPointNames.size(); ++bit) {
    if ((record.points >> bit & 1) != 0) points.push_back(kWatchPointNames[bit]);
  }
  std::string hex(size_t{2} * record.kept + 1, 0);
  sodium_bin2hex(hex.data(), hex.size(), record.bytes.data(), record.kept);
  hex.pop_back();
  const bool drop = record.verdict == 0;
  return {{"packet", record.packet},
          {"time_ns", record.at_ns + epoch_ns},
          {"points", std::move(points)},
          {"stage", kStageNames[static_cast<size_t>(record.stage)]},
          {"verdict", kVerdictNames[record.verdict]},
          {"drop", drop ? Json(kDropNames[record.reason]) : Json(nullptr)},
          {"port", name_at(names.ports, record.port)},
          {"link", name_at(names.links, record.link)},
          {"worker", record.worker},
          {"form", kFormNames[static_cast<size_t>(record.form)]},
          {"length", record.length},
          {"bytes", std::move(hex)}};
}

}  // namespace

void PacketWatch::handle(std::string_view what, const std::string& body, const Names& names,
                         HttpServer::Responder respond) {
  const Json parsed = Json::parse(body, nullptr, false);
  if (!parsed.is_object()) return respond(error(400, "wanted a JSON object"));
  if (what.empty()) return begin(parsed, names, std::move(respond));
  const auto id = parsed.find("watch");
  if (id == parsed.end() || parsed.size() != 1) return respond(error(400, R"(wanted the body {"watch": ID})"));
  if (!on_ || *id != last_id_) return respond(error(404, "that watch is over"));
  idle_seconds_ = 0;
  if (what == "/end") {
    end();
    return respond(reply(200, Json::object()));
  }
  if (what != "/next") return respond(error(404, "nothing of that name takes a POST"));
  answer();  // who asked before
  waiting_ = std::move(respond);
  if (!queue_.empty() || done_) answer();
}

void PacketWatch::begin(const Json& body, const Names& names, HttpServer::Responder respond) {
  if (on_) return respond(error(409, "someone watches packets already, wanted to be the only one"));
  auto ask = read_ask(body, names);
  if (!ask) return respond(error(400, ask.error().message));
  ask->request = last_id_ + 1;
  if (!ask_(*ask)) return respond(error(503, "no dataplane is attached"));
  ++last_id_;
  names_ = names;
  on_ = true;
  done_ = false;
  idle_seconds_ = 0;
  missed_here_ = missed_there_ = 0;
  error_.clear();
  respond(reply(200, Json::object({{"watch", last_id_}})));
}

bool PacketWatch::seen(const SeenPacket& record) {
  if (!on_ || done_ || record.request != last_id_) return false;
  missed_there_ = record.missed;
  if (record.last != 0) {
    return over(record.error == InstallError::none ? "" : "the dataplane refuses it");
  }
  if (queue_.size() < kMostQueued) {
    queue_.push_back(record);
  } else {
    ++missed_here_;
  }
  return answer();
}

bool PacketWatch::tick() {
  if (!on_) return false;
  const bool answered = answer();
  return ++idle_seconds_ >= kIdleSeconds ? end() || answered : answered;
}

bool PacketWatch::over(std::string error) {
  if (!on_) return false;
  done_ = true;
  error_ = std::move(error);
  return answer();
}

/// To the dataplane, unless it is over there; here nobody asks any more.
bool PacketWatch::end() {
  if (!done_) static_cast<void>(ask_({.request = last_id_, .count = 0}));
  done_ = true;
  const bool answered = answer();
  on_ = false;
  queue_.clear();
  return answered;
}

bool PacketWatch::answer() {
  if (!waiting_) return false;
  idle_seconds_ = 0;
  const uint64_t epoch_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
  Json records = Json::array();
  for (; !queue_.empty() && records.size() < kMostInAnswer; queue_.pop_front())
    records.push_back(record_json(queue_.front(), names_, epoch_ns));
  const bool last = done_ && queue_.empty();
  Json body{{"records", std::move(records)}, {"missed", missed_here_ + missed_there_}, {"done", last}};
  if (last && !error_.empty()) body["error"] = error_;
  if (last) on_ = false;
  std::exchange(waiting_, nullptr)(reply(200, body));
  return true;
}

}  // namespace sky::controlplane
