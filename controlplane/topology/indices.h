// The positions of things in a topology's lists, each a type of its own.
#pragma once

#include <cstdint>

namespace sky::controlplane {

enum class DomainIndex : uint32_t {};
enum class NodeIndex : uint32_t {};

/// A link of the topology; LinkIndex is a node's own link table.
enum class EdgeIndex : uint32_t {};

/// A group of links that fail together: a duct, a building.
enum class RiskIndex : uint32_t {};

}  // namespace sky::controlplane
