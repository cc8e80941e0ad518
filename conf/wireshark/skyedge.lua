-- Wireshark's view of Skyedge (docs/protocol.md): frames as on the wire, and frames that scripts/open-capture opened.
--   wireshark -X lua_script:conf/wireshark/skyedge.lua CAPTURE, or copy it into the folder of personal Lua plugins.
-- Another EtherType than 0x88B5: Decode As, "Ethertype". Wireshark 4.0's Lua has no ciphers, hence the other program.

local skyedge = Proto("skyedge", "Skyedge")
local opened = Proto("skyedge_opened", "Skyedge, opened")

local KINDS = { [0] = "frame", "header", "clear", "handshake", "hello" }
local TYPES = { [0] = "Data", "Close", "KeepAlive", "Handshake", "Ping", "Pong", "Error", [8] = "TransportPing",
  [9] = "TransportPong", [17] = "Datagram", [64] = "Signal", [65] = "DeadRoutes" }
local MESSAGES = { "initiation", "response", "cookie", "confirmation" }
local SIGNALS = { "setup", "setup_reply", "setup_refused", "close", "trace", "trace_reply" }
local REASONS = { "malformed", "not here", "full", "quota", "too fast", "link down", "conflict", "unknown peer",
  "need session", "session busy", "bad session", "idle", "replaced", "expired", "shutdown", "not proven",
  "damaged", "no bandwidth" }
local TOWARDS = { [0] = "egress", "ingress" }

local f = {}
local function field(kind, name, text, ...)
  f[name] = ProtoField[kind]("skyedge." .. name, text, ...)
end
field("uint8", "version", "Version", base.DEC, nil, 0xf0)
field("uint8", "kind", "Kind", base.DEC, KINDS, 0x0f)
field("uint8", "hop_limit", "Hop limit")
field("uint8", "epoch", "Key epoch", base.HEX)
field("uint8", "class", "Class", base.DEC, nil, 0xe0)
field("uint8", "ecn", "ECN", base.DEC, nil, 0x18)
field("uint8", "reserved", "Reserved", base.DEC, nil, 0x07)
field("uint32", "link", "Link index")
field("uint8", "lane", "Lane")
field("uint64", "counter", "Counter")
field("bytes", "tag", "Tag")
field("bytes", "sealed", "Sealed")
field("bytes", "open", "Travels as it is")
field("uint8", "type", "Packet type", base.DEC, TYPES)
field("uint32", "route", "Route ID", base.HEX)
field("uint16", "size", "Size")
field("bytes", "payload", "Payload")
field("bytes", "padding", "Padding")
field("uint8", "liveness.asks", "I want these keys of yours replaced", base.HEX, nil, 0xf0)
field("bool", "liveness.hears", "I hear you", 8, nil, 0x01)
field("uint8", "liveness.multiplier", "Multiplier")
field("uint32", "liveness.interval_us", "Interval (us)")
field("uint64", "liveness.sent_ns", "My clock (ns)")
field("uint64", "liveness.echoed_ns", "Your clock (ns)")
field("uint64", "probe.timestamp", "Timestamp")
field("uint64", "probe.asker", "Group and slot, or who asks", base.HEX)
field("uint32", "dead_route", "Dead route", base.HEX)
field("uint8", "datagram.epoch", "Session epoch", base.DEC, nil, 0xc0)
field("uint16", "datagram.stream", "Stream", base.DEC, nil, 0x3fff)
field("uint64", "datagram.counter", "Stream counter")
field("bytes", "datagram.tag", "End-to-end tag")
field("bytes", "datagram.sealed", "Sealed end to end")
field("uint8", "handshake.message", "Handshake message", base.DEC, MESSAGES)
field("uint32", "handshake.sender", "Sender", base.HEX)
field("uint32", "handshake.receiver", "Receiver", base.HEX)
field("bytes", "handshake.ephemeral", "Ephemeral key")
field("bytes", "handshake.static", "Static key, sealed")
field("bytes", "handshake.payload", "Payload, sealed")
field("bytes", "handshake.mac1", "mac1")
field("bytes", "handshake.mac2", "mac2")
field("bytes", "handshake.nonce", "Nonce")
field("bytes", "handshake.cookie", "Cookie, sealed")
field("uint64", "handshake.key_id", "Key ID", base.HEX)
field("bytes", "handshake.mac", "MAC")
field("uint8", "signal.message", "Signal", base.DEC, SIGNALS)
field("bool", "signal.refresh", "Refresh", 8, nil, 0x01)
field("bool", "signal.standby", "Standby", 8, nil, 0x02)
field("uint8", "signal.attempt", "Attempt")
field("uint8", "signal.hop", "Hop")
field("bytes", "signal.circuit", "Circuit ID")
field("uint32", "signal.life_s", "Life (s)")
field("uint8", "signal.class", "Class", base.DEC, nil, 0xe0)
field("uint8", "signal.queue", "Queue", base.DEC, nil, 0x03)
field("uint8", "signal.protect", "Least kind", base.DEC, KINDS)
field("uint16", "signal.mtu", "MTU")
field("uint32", "signal.return_route", "Return route ID", base.HEX)
field("uint32", "signal.forward_route", "Forward route ID", base.HEX)
field("uint16", "signal.stream_to_egress", "Stream towards the egress")
field("uint16", "signal.stream_to_ingress", "Stream towards the ingress")
field("uint8", "signal.hop_limit", "Hop limit")
field("uint8", "signal.nodes", "Nodes")
field("uint16", "signal.copy_stream", "Copied stream")
field("uint8", "signal.copy_window", "Window of copied streams (log2)")
field("bytes", "signal.proof", "Proof")
field("bytes", "signal.alternate_link", "Alternate link ID")
field("uint32", "signal.alternate_return_route", "Return route ID by the alternate", base.HEX)
field("uint32", "signal.alternate_route", "Forward route ID by the alternate", base.HEX)
field("uint32", "signal.rate_kbit_s", "Rate in kbit/s")
field("ipv6", "signal.node", "Node")
field("bytes", "signal.link_id", "Link ID")
field("bytes", "signal.blob", "Session handshake")
field("uint8", "signal.reason", "Reason", base.DEC, REASONS)
field("uint8", "signal.towards", "Towards", base.DEC, TOWARDS)
field("string", "signal.text", "Text")
field("uint32", "signal.probe", "Probe", base.HEX)
skyedge.fields = f

local malformed = ProtoExpert.new("skyedge.malformed", "Not of the form that docs/protocol.md gives",
  expert.group.MALFORMED, expert.severity.ERROR)
skyedge.experts = { malformed }

-- Adds fields of fixed sizes one after the other; returns what comes behind, or nothing where the bytes end before.
local function add_all(tree, data, at, list)
  for _, each in ipairs(list) do
    local name, size = each[1], each[2]
    if at + size > data:len() then
      tree:add_proto_expert_info(malformed)
      return nil
    end
    if name then tree:add(f[name], data(at, size)) end
    at = at + size
  end
  return at
end

local FORMS = {
  { size = 168, fields = { { "handshake.sender", 4 }, { "handshake.ephemeral", 32 }, { "handshake.static", 48 },
    { "handshake.payload", 48 }, { "handshake.mac1", 16 }, { "handshake.mac2", 16 } } },
  { size = 124, fields = { { "handshake.sender", 4 }, { "handshake.receiver", 4 }, { "handshake.ephemeral", 32 },
    { "handshake.payload", 48 }, { "handshake.mac1", 16 }, { "handshake.mac2", 16 } } },
  { size = 68, fields = { { "handshake.sender", 4 }, { "handshake.receiver", 4 }, { "handshake.nonce", 24 },
    { "handshake.cookie", 32 } } },
  { size = 28, fields = { { "handshake.key_id", 8 }, { "handshake.mac", 16 } } },
}

local function handshake(data, info, tree)
  if data:len() == 0 then return end
  local message = data(0, 1):uint()
  local form = FORMS[message]
  info:append(", " .. (MESSAGES[message] or "unknown handshake message"))
  tree:add(f["handshake.message"], data(0, 1))
  if not form or data:len() ~= form.size or data(1, 3):uint() ~= 0 then
    tree:add_proto_expert_info(malformed)
    return
  end
  add_all(tree, data, 4, form.fields)
end

local function blob(data, at, info, tree)
  if at == nil then return end
  if at + 2 > data:len() or at + 2 + data(at, 2):uint() ~= data:len() then
    tree:add_proto_expert_info(malformed)
    return
  end
  if data:len() == at + 2 then return end
  local bytes = data(at + 2)
  handshake(bytes, info, tree:add(f["signal.blob"], bytes))
end

local function setup(data, info, tree)
  if data:len() < 73 then return tree:add_proto_expert_info(malformed) end
  tree:add(f["signal.refresh"], data(1, 1))
  tree:add(f["signal.standby"], data(1, 1))
  add_all(tree, data, 2, { { "signal.attempt", 1 }, { "signal.hop", 1 }, { "signal.circuit", 16 },
    { "signal.life_s", 4 } })
  tree:add(f["signal.class"], data(24, 1))
  local at = add_all(tree, data, 24, { { "signal.queue", 1 }, { "signal.protect", 1 }, { "signal.mtu", 2 },
    { "signal.return_route", 4 }, { "signal.stream_to_egress", 2 }, { "signal.stream_to_ingress", 2 },
    { "signal.hop_limit", 1 }, { "signal.nodes", 1 }, { "signal.proof", 16 },
    { "signal.alternate_link", 8 }, { "signal.alternate_return_route", 4 }, { "signal.rate_kbit_s", 4 },
    { "signal.copy_stream", 2 }, { "signal.copy_window", 1 } })
  for _ = 1, data(37, 1):uint() do
    at = at and add_all(tree, data, at, { { "signal.node", 16 }, { "signal.link_id", 8 } })
  end
  blob(data, at, info, tree)
end

local function short(first, second, tail)
  return function(data, _, tree)
    local fields = { { first, 1 }, { second, 1 }, { nil, 1 }, { "signal.circuit", 16 } }
    for _, each in ipairs(tail) do table.insert(fields, each) end
    local at = add_all(tree, data, 1, fields)
    if at and at ~= data:len() then tree:add_proto_expert_info(malformed) end
  end
end

local SIGNAL_FORMS = {
  setup,
  function(data, info, tree)
    blob(data, add_all(tree, data, 1, { { nil, 1 }, { "signal.hop", 1 }, { "signal.copy_window", 1 },
      { "signal.circuit", 16 }, { "signal.forward_route", 4 }, { "signal.alternate_route", 4 },
      { "signal.mtu", 2 } }), info, tree)
  end,
  function(data, _, tree)
    local at = add_all(tree, data, 1, { { "signal.reason", 1 }, { "signal.hop", 1 }, { nil, 1 },
      { "signal.circuit", 16 } })
    if at and at < data:len() then tree:add(f["signal.text"], data(at)) end
  end,
  short("signal.reason", "signal.towards", {}),
  short("signal.towards", "signal.hop", { { "signal.probe", 4 } }),
  short("signal.towards", "signal.hop", { { "signal.probe", 4 }, { "signal.node", 16 } }),
}

local function signal(data, info, tree)
  local message = data(0, 1):uint()
  info:append(", " .. (SIGNALS[message] or "unknown signal"))
  tree:add(f["signal.message"], data(0, 1))
  local form = SIGNAL_FORMS[message]
  if not form then return tree:add_proto_expert_info(malformed) end
  form(data, info, tree)
end

local function datagram(data, pinfo, tree, root, inner_too)
  if data:len() < 24 then return tree:add_proto_expert_info(malformed) end
  tree:add(f["datagram.epoch"], data(0, 1))
  tree:add(f["datagram.stream"], data(0, 2))
  tree:add(f["datagram.counter"], data(2, 6))
  tree:add(f["datagram.tag"], data(8, 16))
  if data:len() == 24 then return end
  local inner = data(24)
  if not inner_too then
    tree:add(f["datagram.sealed"], inner)
    return
  end
  local name = inner(0, 1):bitfield(0, 4) == 6 and "ipv6" or "ip"
  -- It says itself what is wrong with a packet, and then ends this dissector too unless it is held.
  pcall(function() Dissector.get(name):call(inner:tvb(), pinfo, root) end)
end

local function liveness(data, tree)
  if data:len() ~= 24 then return tree:add_proto_expert_info(malformed) end
  tree:add(f["liveness.asks"], data(0, 1))
  add_all(tree, data, 0, { { "liveness.hears", 1 }, { "liveness.multiplier", 1 }, { nil, 2 },
    { "liveness.interval_us", 4 }, { "liveness.sent_ns", 8 }, { "liveness.echoed_ns", 8 } })
end

-- Packet and padding, opened, or of a clear frame, which may be longer.
local function packet(data, pinfo, tree, root, inner_too, clear)
  local kind, route, size = data(0, 1):uint(), data(1, 4):uint(), data(5, 2):uint()
  local info = pinfo.cols.info
  info:append(string.format(", %s, route 0x%08x", TYPES[kind] or "type " .. kind, route))
  tree:add(f.type, data(0, 1))
  tree:add(f.route, data(1, 4))
  tree:add(f.size, data(5, 2))
  local whole = math.max(7 + size, 14)
  if data:len() < whole or (data:len() > whole and not clear) then return tree:add_proto_expert_info(malformed) end
  if data:len() > 7 + size then tree:add(f.padding, data(7 + size)) end
  if size == 0 then return end
  local payload = data(7, size)
  if kind == 17 and route ~= 0 then return datagram(payload, pinfo, tree, root, inner_too) end
  local part = tree:add(f.payload, payload)
  if kind == 8 and route == 0 then
    liveness(payload, part)
  elseif (kind == 4 or kind == 5) and size == 16 then
    add_all(part, payload, 0, { { "probe.timestamp", 8 }, { "probe.asker", 8 } })
  elseif kind == 3 then
    handshake(payload, info, part)
  elseif kind == 64 and route == 0 then
    signal(payload, info, part)
  elseif kind == 65 and route == 0 then
    for at = 0, size - 4, 4 do part:add(f.dead_route, payload(at, 4)) end
  end
end

-- data: from the link header on. inner_too: what is sealed end to end stands opened as well.
local function frame(data, pinfo, root, is_opened, inner_too)
  pinfo.cols.protocol = "Skyedge"
  local tree = root:add(skyedge, data)
  if data:len() < 16 then return tree:add_proto_expert_info(malformed) end
  local kind = data(0, 1):uint() % 16
  tree:add(f.version, data(0, 1))
  tree:add(f.kind, data(0, 1))
  add_all(tree, data, 1, { { "hop_limit", 1 }, { "epoch", 1 } })
  tree:add(f.class, data(3, 1))
  tree:add(f.ecn, data(3, 1))
  tree:add(f.reserved, data(3, 1))
  add_all(tree, data, 4, { { "link", 4 }, { "lane", 1 } })
  tree:add(f.counter, data(9, 7), data(9, 7):uint64())
  pinfo.cols.info = string.format("%s, link %d, epoch 0x%02x, counter %s", KINDS[kind] or "kind " .. kind,
    data(4, 4):uint(), data(2, 1):uint(), tostring(data(9, 7):uint64()))
  if data:len() == 16 then return end
  if data(0, 1):uint() >= 32 or data(0, 1):uint() < 16 then return tree:add_proto_expert_info(malformed) end
  if kind == 3 then return handshake(data(16), pinfo.cols.info, tree) end
  if kind > 3 or data:len() < 32 + (kind == 1 and 32 or 14) then
    return tree:add_proto_expert_info(malformed)
  end
  if kind == 2 then return packet(data(16), pinfo, tree, root, inner_too, true) end
  tree:add(f.tag, data(16, 16))
  if is_opened then return packet(data(32), pinfo, tree, root, inner_too, false) end
  tree:add(f.sealed, kind == 1 and data(32, 32) or data(32))
  if kind == 1 and data:len() > 64 then tree:add(f.open, data(64)) end
end

function skyedge.dissector(buffer, pinfo, root)
  frame(buffer(0), pinfo, root, false, false)
end

-- What scripts/open-capture writes: format 1, flags (bit 0: what is sealed end to end is open too), then the Ethernet
-- frame with its sealed bytes replaced by plain ones.
local opened_flags = ProtoField.uint8("skyedge_opened.flags", "Flags", base.HEX)
opened.fields = { opened_flags }

function opened.dissector(buffer, pinfo, root)
  if buffer:len() < 16 or buffer(0, 1):uint() ~= 1 then return 0 end
  local tree = root:add(opened, buffer(0, 2))
  tree:add(opened_flags, buffer(1, 1))
  local ethernet = buffer(2, 14)
  root:add(ethernet, "Ethernet, " .. tostring(ethernet(6, 6):ether()) .. " to " .. tostring(ethernet(0, 6):ether()))
  frame(buffer(16), pinfo, root, true, buffer(1, 1):uint() % 2 == 1)
end

DissectorTable.get("ethertype"):add(0x88B5, skyedge)
DissectorTable.get("wtap_encap"):add(wtap.USER0, opened)
