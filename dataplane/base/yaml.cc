#include "dataplane/base/yaml.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <unordered_map>

namespace sky::yaml {
namespace {

/// Ends yaml-cpp's parse from inside; the report already says why. Never leaves this file.
struct Refused {};

Mark mark_of(const YAML::Mark& mark) {
  return {static_cast<uint32_t>(mark.line + 1), static_cast<uint32_t>(mark.column + 1)};
}

/// Builds the tree from yaml-cpp's events, which come before yaml-cpp itself goes a level deeper: a
/// budget that is exceeded ends the parse there.
class Builder : public YAML::EventHandler {
 public:
  Builder(const Budget& budget, Report& report) : budget_(budget), report_(report) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) refuse(mark_of(mark), "file", "a second document", "one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    place({Node::Kind::null, false, mark_of(mark), {}, {}}, anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const Mark at = mark_of(mark);
    check_tag(at, tag);
    if (!open_.empty() && open_.back().wants_key()) {
      count(at);
      open_.back().start_entry(value, at);
      return;
    }
    place({Node::Kind::scalar, tag == "!", at, value, {}}, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Mark at = mark_of(mark);
    if (++aliases_ > budget_.aliases) {
      refuse(at, "file", fmt::format("more than {} aliases", budget_.aliases), "fewer");
    }
    const auto target = anchors_.find(anchor);
    if (target == anchors_.end()) {
      refuse(at, "file", "an alias inside what it stands for", "an anchor that is complete");
    }
    charge(target->second, open_.size());
    place(target->second, 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::list, mark_of(mark), tag, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark_of(mark), tag, anchor);
  }
  void OnMapEnd() override {
    report_duplicates(open_.back().node);
    close();
  }

 private:
  /// A list or map whose end has not come yet.
  struct Open {
    Node node;
    YAML::anchor_t anchor;
    bool key_read = false;

    bool wants_key() const { return node.kind == Node::Kind::map && !key_read; }
    void start_entry(const std::string& key, Mark at) {
      node.entries.push_back({key, at, {}});
      key_read = true;
    }
  };

  [[noreturn]] void refuse(Mark at, std::string key, std::string found, std::string wanted) {
    report_.add(at, std::move(key), std::move(found), std::move(wanted));
    throw Refused{};
  }

  void count(Mark at) {
    if (++nodes_ > budget_.nodes) {
      refuse(at, "file", fmt::format("more than {} values", budget_.nodes), "fewer");
    }
  }

  void check_tag(Mark at, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      refuse(at, "file", "the tag " + quote(tag), "no tags: each key has its type");
    }
  }

  void check_depth(Mark at, size_t depth) {
    if (depth >= budget_.depth) {
      refuse(at, "file", fmt::format("more than {} levels", budget_.depth), "fewer");
    }
  }

  /// Pays for a copy of an anchor's tree before it is made.
  void charge(const Node& node, size_t depth) {
    for (const Entry& entry : node.entries) {
      check_depth(entry.mark, depth + 1);
      count(entry.mark);
      charge(entry.value, depth + 1);
    }
  }

  void open(Node::Kind kind, Mark at, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(at, tag);
    check_depth(at, open_.size());
    if (!open_.empty() && open_.back().wants_key()) {
      refuse(at, "file", "a list or map as a key", "text");
    }
    open_.push_back({{kind, false, at, {}, {}}, anchor});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    place(std::move(done.node), done.anchor);
  }

  /// Puts a complete node where the document has reached.
  void place(Node node, YAML::anchor_t anchor) {
    count(node.mark);
    if (anchor != 0) {
      charge(node, open_.size());
      anchors_[anchor] = node;
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.wants_key()) {
      if (node.kind != Node::Kind::scalar) refuse(node.mark, "file", "an empty key", "text");
      parent.start_entry(node.text, node.mark);
      return;
    }
    if (parent.node.kind == Node::Kind::list) parent.node.entries.push_back({{}, node.mark, {}});
    parent.node.entries.back().value = std::move(node);
    parent.key_read = false;
  }

  void report_duplicates(const Node& map) {
    std::vector<const Entry*> sorted;
    for (const Entry& entry : map.entries) sorted.push_back(&entry);
    std::ranges::stable_sort(sorted, {},
                             [](const Entry* entry) -> const std::string& { return entry->key; });
    for (size_t i = 1; i < sorted.size(); ++i) {
      if (sorted[i]->key != sorted[i - 1]->key) continue;
      report_.add(sorted[i]->mark, dotted(sorted[i]->key), "this key a second time",
                  fmt::format("it once (first in line {})", sorted[i - 1]->mark.line));
    }
  }

  std::string dotted(const std::string& last) const {
    std::string key;
    for (size_t i = 0; i + 1 < open_.size(); ++i) {
      const Node& node = open_[i].node;
      if (node.kind == Node::Kind::map) key += node.entries.back().key + '.';
    }
    return key + last;
  }

  const Budget& budget_;
  Report& report_;
  Node root_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, Node> anchors_;
  size_t documents_ = 0;
  size_t nodes_ = 0;
  size_t aliases_ = 0;
};

/// yaml-cpp takes byte 4 for the end of the file and guesses UTF-16 from a zero: neither may reach
/// it.
bool check_text(std::string_view text, Report& report) {
  Mark at;
  for (const unsigned char c : text) {
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
      report.add(at, "file", fmt::format("the byte 0x{:02x}", c), "UTF-8 text");
      return false;
    }
    if (c == '\n') {
      at = {at.line + 1, 1};
    } else if ((c & 0xc0) != 0x80) {
      ++at.column;
    }
  }
  return true;
}

}  // namespace

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::map:
      return "a map";
    case Node::Kind::scalar:
      break;
  }
  return quote(node.text);
}

std::optional<Node> parse(std::string_view text, const Budget& budget, Report& report) {
  if (!check_text(text, report)) return std::nullopt;
  Builder builder(budget, report);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused&) {
    return std::nullopt;
  } catch (const YAML::Exception& error) {
    report.add(mark_of(error.mark), "syntax", error.msg, "YAML");
    return std::nullopt;
  }
  return builder.take();
}

std::optional<Node> load(const Budget& budget, Report& report) {
  const auto refuse = [&](std::string found, std::string wanted) {
    report.add({}, "file", std::move(found), std::move(wanted));
    return std::nullopt;
  };
  const int fd = open(report.file().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return refuse(strerror(errno), "a file that can be read");
  struct stat status {};
  std::string text;
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  const bool fits = regular && static_cast<size_t>(status.st_size) <= budget.bytes;
  if (fits) {
    text.resize(budget.bytes + 1);
    ssize_t part = 0;
    size_t size = 0;
    while ((part = read(fd, text.data() + size, text.size() - size)) > 0)
      size += static_cast<size_t>(part);
    text.resize(size);
  }
  close(fd);
  if (!regular) return refuse("something else", "a regular file");
  if (!fits || text.size() > budget.bytes) {
    return refuse(fmt::format("{} bytes", status.st_size), fmt::format("at most {}", budget.bytes));
  }
  return parse(text, budget, report);
}

}  // namespace sky::yaml
