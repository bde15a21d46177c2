-- The host's own Lua: it makes the environment that a policy sees, and nothing else is reachable from there.
-- Functions of `host` never raise: they answer with the problem in words (with its place), or nil and values. Errors
-- are raised here, as plain texts, so that pcall in a policy sees texts only.
local host, act_names = ...

local error, raw_pcall, raw_next, type, select, setmetatable = error, pcall, next, type, select, setmetatable
local raw_tostring, yield, freeze, clone = tostring, coroutine.yield, table.freeze, table.clone

local function try(problem, ...)
  if problem ~= nil then error(problem, 0) end
  return ...
end

-- A table without content of its own: reading and writing are functions.
local function proxy(read, write)
  return freeze(setmetatable({}, { __index = read, __newindex = write }))
end

local function read_only(what)
  return function() try(host.read_only(what)) end
end

-- Libraries ---------------------------------------------------------------------------------------------------------

-- Work that a library function does without an interrupt is charged before it is done.
local function size(value) return type(value) == "string" and #value or 0 end

local function charge_pattern(s, pattern) host.charge(size(s) * size(pattern) / 8) end

local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
local rep, split, format = string.rep, string.split, string.format
local move, concat, sort, insert, remove = table.move, table.concat, table.sort, table.insert, table.remove

function string.find(s, pattern, ...) charge_pattern(s, pattern) return find(s, pattern, ...) end
function string.match(s, pattern, ...) charge_pattern(s, pattern) return match(s, pattern, ...) end
function string.gmatch(s, pattern) charge_pattern(s, pattern) return gmatch(s, pattern) end
function string.gsub(s, pattern, ...) charge_pattern(s, pattern) return gsub(s, pattern, ...) end
function string.split(s, separator) charge_pattern(s, separator) return split(s, separator) end
function string.rep(s, n) host.charge(size(s) * (tonumber(n) or 0) / 64) return rep(s, n) end

-- A table's or a function's text would be its address: another one in every run.
local function no_address(value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" and kind ~= "nil" then try(host.no_text(kind)) end
end

function string.format(...)
  for i = 1, select("#", ...) do no_address((select(i, ...))) end
  return format(...)
end

function table.move(from, first, last, ...)
  host.charge((tonumber(last) or 0) - (tonumber(first) or 0))
  return move(from, first, last, ...)
end
function table.concat(list, separator, first, last)
  host.charge((tonumber(last) or (type(list) == "table" and #list or 0)) - (tonumber(first) or 1))
  return concat(list, separator, first, last)
end
function table.insert(list, ...)
  if select("#", ...) > 1 and type(list) == "table" then host.charge(#list / 8) end
  return insert(list, ...)
end
function table.remove(list, ...)
  if select("#", ...) > 0 and type(list) == "table" then host.charge(#list / 8) end
  return remove(list, ...)
end
-- With a comparison in Lua every comparison is counted; a native one of long texts would not be.
function table.sort(list, before)
  return sort(list, before or function(a, b) return a < b end)
end
table.foreach, table.foreachi, table.getn, table.maxn = nil, nil, nil, nil
math.random, math.randomseed = nil, nil

for name, library in { string = string, table = table, math = math, bit32 = bit32, utf8 = utf8 } do
  setmetatable(library, { __index = function(_, key) try(host.no_library_function(name, key)) end })
end

local function again_if_final(ok, problem, ...)
  if not ok and host.is_final(problem) then error(problem, 0) end
  return ok, problem, ...
end

-- Tables and functions as keys have no fixed order: it would follow their addresses.
local function next(t, key)
  local found, value = raw_next(t, key)
  local kind = type(found)
  if kind == "table" or kind == "function" then try(host.no_order(kind)) end
  return found, value
end

-- Words that every policy file has -------------------------------------------------------------------------------------

local words = {
  assert = assert, error = error, ipairs = ipairs, select = select, tonumber = tonumber, type = type, unpack = unpack,
  string = string, table = table, math = math, bit32 = bit32, utf8 = utf8,
  minute = 60, hour = 3600, day = 86400, MiB = 1048576, GiB = 1073741824,
  next = next,
}

function words.pcall(...) return again_if_final(raw_pcall(...)) end
function words.pairs(t)
  if type(t) ~= "table" then try(host.no_pairs(t)) end
  return next, t, nil
end
function words.tostring(value)
  no_address(value)
  return raw_tostring(value)
end

-- An act suspends the policy; the host answers with the outcome, or never comes back.
local acts = {}
for _, name in act_names do
  acts[name] = function(...)
    try(host.ask(name, ...))
    return yield()
  end
end
words.act = proxy(function(_, name) return acts[name] or try(host.unknown_act(name)) end, read_only("act"))

function words.leave(...) try(host.ending("leave", ...)) yield() end
function words.give_up(...) try(host.ending("give_up", ...)) yield() end
function words.log(...) try(host.log(...)) end

function words.count(list, filter)
  try(host.check_count(list, filter))
  local n = 0
  for _, entry in list do
    local fits = true
    for key, wanted in raw_next, filter do
      if key == "within" then
        fits = fits and entry.ago <= wanted
      else
        fits = fits and entry[key] == wanted
      end
    end
    if fits then n += 1 end
  end
  return n
end

-- Files ---------------------------------------------------------------------------------------------------------------

local files = {} -- file name → { ladders, value }, once its top level has run

local load_file

local function environment(file, ladders)
  local own = {}
  own.heal = proxy(function(_, class)
    try(host.known_ladder(class))
    return ladders[class]
  end, function(_, class, ladder)
    try(host.register(file, class, ladder, ladders[class] ~= nil))
    ladders[class] = ladder
  end)
  own.settings = proxy(function(_, name) return try(host.setting(file, name)) end, read_only("settings"))
  function own.policy(...) try(host.declare(file, ...)) end
  function own.require(...) return load_file(try(host.require(...))) end
  return proxy(function(_, name)
    local value = own[name]
    if value == nil then value = words[name] end
    if value == nil then try(host.missing(name)) end
    return value
  end, function(_, name, value) try(host.undeclared(name, value)) end)
end

function load_file(file)
  local known = files[file]
  if known then return known.value end
  local ladders = {}
  local top_level = try(host.open(file, environment(file, ladders)))
  local value = top_level()
  if try(host.loaded(file, value)) then
    value = freeze(setmetatable(clone(ladders), {
      __index = function(_, class) try(host.no_ladder(file, class)) end,
    }))
  end
  files[file] = { ladders = ladders, value = value }
  return value
end

-- What the host calls ----------------------------------------------------------------------------------------------------

local function ladder(file, name) return files[file].ladders[name] end

-- The metatable of a record: a name that is not in the table of fields is an error, a known one may be absent.
local records = {}
local function record(shape)
  local known = records[shape]
  if known == nil then
    known = { __index = function(_, name) try(host.unknown_field(shape, name)) end }
    records[shape] = known
  end
  return known
end

-- An outcome that tells when it is read: a check need not try results that a policy never looks at.
local function watched(number, outcome)
  return proxy(function(_, name)
    host.read(number)
    return outcome[name]
  end, read_only("the outcome"))
end

return load_file, ladder, record, watched
