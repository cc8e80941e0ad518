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
#include <istream>
#include <map>
#include <streambuf>
#include <unordered_map>

namespace sky::yaml {
namespace {

/// Ends yaml-cpp's parse from inside; the report already says why. Never leaves this file.
struct Refused {};

Mark mark_of(const YAML::Mark& mark) {
  return {static_cast<uint32_t>(mark.line + 1), static_cast<uint32_t>(mark.column + 1)};
}

/// yaml-cpp has read too far without telling anything.
struct Stalled {};

/// The text in pieces, with a measure of how far yaml-cpp reads between two events. As long as it cannot
/// tell whether a `[` opens a key it keeps every token up to the `]`: no event comes to stop that.
class Feed : public std::streambuf {
 public:
  Feed(std::string_view text, size_t stretch_bytes) : text_(text), stretch_bytes_(stretch_bytes) {}

  void note_event() { told_ = given_; }

 protected:
  int_type underflow() override {
    constexpr size_t kPiece = 2048;
    if (given_ - told_ > stretch_bytes_) throw Stalled{};
    const auto piece = text_.substr(given_, kPiece);
    if (piece.empty()) return traits_type::eof();
    given_ += piece.size();
    char* begin = const_cast<char*>(piece.data());  // setg's signature: nothing writes there
    setg(begin, begin, begin + piece.size());
    return traits_type::to_int_type(*begin);
  }

 private:
  const std::string_view text_;
  const size_t stretch_bytes_;
  size_t given_ = 0;
  size_t told_ = 0;
};

/// Builds the tree from yaml-cpp's events, which come before yaml-cpp itself goes a level deeper: a
/// budget that is exceeded ends the parse there.
class Builder : public YAML::EventHandler {
 public:
  Builder(const Budget& budget, Feed& feed, Report& report) : budget_(budget), feed_(feed), report_(report) {}

  Node take() { return std::move(root_); }

  /// Where the last complete key or value begins.
  Mark reached() const { return reached_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) refuse(mark_of(mark), "file", "a second document", "one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    place({Node::Kind::null, false, mark_of(mark), {}, {}}, anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark_of(mark), tag);
    place({Node::Kind::scalar, tag == "!", mark_of(mark), value, {}}, anchor);
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
    drop_duplicates(open_.back().node);
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

  void note(Mark at) {
    reached_ = at;
    feed_.note_event();
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
    count(node.mark);
    if (node.kind == Node::Kind::list || node.kind == Node::Kind::map) check_depth(node.mark, depth);
    for (const Entry& entry : node.entries) charge(entry.value, depth + 1);
  }

  void open(Node::Kind kind, Mark at, const std::string& tag, YAML::anchor_t anchor) {
    note(at);
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
    note(node.mark);
    if (anchor != 0) remember(node, anchor);
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
    count(node.mark);
    if (parent.node.kind == Node::Kind::list) parent.node.entries.push_back({{}, node.mark, {}});
    parent.node.entries.back().value = std::move(node);
    parent.key_read = false;
  }

  void remember(const Node& node, YAML::anchor_t anchor) {
    if (anchors_.size() >= budget_.aliases) {
      refuse(node.mark, "file", fmt::format("more than {} anchors", budget_.aliases), "fewer");
    }
    charge(node, open_.size());
    anchors_[anchor] = node;
  }

  /// The first of equal keys stays, so that readers find each key once.
  void drop_duplicates(Node& map) {
    std::map<std::string_view, uint32_t> first_line;  // ordered: keys of a hostile file could all hash alike
    std::vector<bool> again;
    for (const Entry& entry : map.entries) {
      const auto [first, fresh] = first_line.try_emplace(entry.key, entry.mark.line);
      again.push_back(!fresh);
      if (fresh) continue;
      report_.add(entry.mark, dotted(entry.key), "this key a second time",
                  fmt::format("it once (first in line {})", first->second));
    }
    size_t position = 0;
    std::erase_if(map.entries, [&](const Entry&) { return again[position++]; });
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
  Feed& feed_;
  Report& report_;
  Node root_;
  Mark reached_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, Node> anchors_;
  size_t documents_ = 0;
  size_t nodes_ = 0;
  size_t aliases_ = 0;
};

Mark mark_at(std::string_view text, size_t offset) {
  Mark at;
  for (const unsigned char c : text.substr(0, offset)) {
    if (c == '\n') {
      at = {at.line + 1, 1};
    } else {
      ++at.column;
    }
  }
  return at;
}

/// yaml-cpp takes byte 4 for the end of the file and guesses UTF-16 from a zero: neither may reach it.
bool check_text(std::string_view text, Report& report) {
  const auto bad = std::ranges::find_if(
      text, [](unsigned char c) { return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f; });
  if (bad == text.end()) return true;
  report.add(mark_at(text, static_cast<size_t>(bad - text.begin())), "file",
             fmt::format("the byte 0x{:02x}", static_cast<unsigned char>(*bad)), "UTF-8 text");
  return false;
}

/// The first `size` bytes of a file, fewer where it ends before.
std::optional<std::string> read_all(int fd, size_t size) {
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t part = read(fd, text.data() + done, size - done);
    if (part < 0) return std::nullopt;
    if (part == 0) break;
    done += static_cast<size_t>(part);
  }
  text.resize(done);
  return text;
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
  if (text.size() > budget.bytes) {
    report.add({}, "file", fmt::format("{} bytes", text.size()), fmt::format("at most {}", budget.bytes));
    return std::nullopt;
  }
  if (!check_text(text, report)) return std::nullopt;
  Feed feed(text, budget.stretch_bytes);
  Builder builder(budget, feed, report);
  try {
    std::istream stream(&feed);
    stream.exceptions(std::ios::badbit);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stalled&) {
    report.add(builder.reached(), "file", fmt::format("{} bytes without a value's end", budget.stretch_bytes), "fewer");
    return std::nullopt;
  } catch (const Refused&) {
    return std::nullopt;
  } catch (const YAML::Exception& error) {
    report.add(mark_of(error.mark), "syntax", fmt::format("a fault ({})", error.msg), "YAML");
    return std::nullopt;
  } catch (const std::exception& error) {
    report.add({}, "syntax", error.what(), "YAML");
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
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  const bool fits = regular && static_cast<size_t>(status.st_size) <= budget.bytes;
  const auto text = fits ? read_all(fd, static_cast<size_t>(status.st_size)) : std::nullopt;
  close(fd);
  if (!regular) return refuse("something else", "a regular file");
  if (!fits) return refuse(fmt::format("{} bytes", status.st_size), fmt::format("at most {}", budget.bytes));
  if (!text) return refuse(strerror(errno), "a file that can be read");
  return parse(*text, budget, report);
}

}  // namespace sky::yaml
