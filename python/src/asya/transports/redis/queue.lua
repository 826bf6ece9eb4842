-- What happens to actors' queues, each change in one step. KEYS: four for each queue, a stream of entries with the fields
-- `n` (deliveries that failed before) and `body`, what is delayed, dead letters, settings. ARGV: an operation, its words.
local GROUP, do_ = 'asya', {}
local call, time = redis.call, redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local stream, delays, dead, settings = unpack(KEYS, 1, 4)

local function of(queue, part) return KEYS[4 * (queue - 1) + part] end

local function held(id) -- whether it was handed out and is not settled
  return call('EXISTS', settings) == 1 and #call('XPENDING', stream, GROUP, id, id, 1) == 1
end

local function forget(id)
  call('XACK', stream, GROUP, id)
  call('XDEL', stream, id)
end

function do_.declare(limit)
  if call('HSETNX', settings, 'limit', limit) == 1 then call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM') end
  return tonumber(call('HGET', settings, 'limit'))
end

function do_.send(id, most) -- and settle `id` unless empty; further words are queue, delay and body of each message
  if id ~= '' and not held(id) then return {'lost'} end
  local lengths = {}
  for at = 4, #ARGV, 3 do
    local queue = tonumber(ARGV[at])
    if call('EXISTS', of(queue, 4)) == 0 then return {'missing', queue} end
    if tonumber(most) > 0 and not (id ~= '' and queue == 1) then -- a retry takes the place of what it replaces
      lengths[queue] = (lengths[queue] or call('XLEN', of(queue, 1)) + call('ZCARD', of(queue, 2))) + 1
      if lengths[queue] > tonumber(most) then return {'full', queue} end
    end
  end
  for at = 4, #ARGV, 3 do
    local queue, delay, body = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
    if delay > 0 then -- equal bodies are two messages, so each begins with a number
      local number = string.format('%016x', call('HINCRBY', of(queue, 4), 'number', 1))
      call('ZADD', of(queue, 2), now + delay, number .. body)
    else
      call('XADD', of(queue, 1), '*', 'n', 0, 'body', body)
    end
  end
  if id ~= '' then forget(id) end
  return {'ok'}
end

function do_.put(id, reason, failed) -- to the end of the stream, where who waits sees it; or to the dead letters
  local found = held(id) and call('XRANGE', stream, id, id)[1]
  if not found then return {'lost', call('XACK', stream, GROUP, id)} end
  local n, body = found[2][2], found[2][4]
  if failed and n + 1 >= tonumber(call('HGET', settings, 'limit')) then reason = 'delivery-limit' end
  if reason then
    call('XADD', dead, '*', 'body', body, 'reason', reason, 'attempts', n + 1)
  else
    call('XADD', stream, '*', 'n', n + (failed or 0), 'body', body)
  end
  forget(id)
  return {'ok'}
end

function do_.redrive(id, body) -- a dead letter, with another body if given; returns how many there were
  local found = call('XRANGE', dead, id, id)[1]
  if not found then return 0 end
  call('XADD', stream, '*', 'n', 0, 'body', body or found[2][2])
  return call('XDEL', dead, id)
end

function do_.extend() -- words are pairs of an id and how many ms ago its lease is to have begun; returns who has none
  local lost = {}
  for at = 2, #ARGV, 2 do
    if held(ARGV[at]) then
      call('XCLAIM', stream, GROUP, GROUP, 0, ARGV[at], 'IDLE', ARGV[at + 1], 'JUSTID')
    else
      lost[#lost + 1] = ARGV[at]
    end
  end
  return lost
end

function do_.tend(lease, most) -- moves what is due, and what is held for too long; returns the ms until more is due
  if call('EXISTS', settings) == 0 then return tonumber(lease) end
  for _, member in ipairs(call('ZRANGEBYSCORE', delays, '-inf', now, 'LIMIT', 0, most)) do
    call('XADD', stream, '*', 'n', 0, 'body', string.sub(member, 17))
    call('ZREM', delays, member)
  end
  for _, pending in ipairs(call('XPENDING', stream, GROUP, 'IDLE', lease, '-', '+', most)) do
    do_.put(pending[1], nil, 1)
  end
  local first = call('ZRANGE', delays, 0, 0, 'WITHSCORES')[2]
  return first and math.max(0, math.ceil(first - now)) or tonumber(lease)
end

function do_.depth(lease) -- ready, in flight, delayed, dead, and the age in ms of the oldest that nobody has read, or -1
  if call('EXISTS', settings) == 0 then return false end
  local due, group, count = call('ZCOUNT', delays, '-inf', now), {}, call('XPENDING', stream, GROUP)[1]
  local over = count > 0 and #call('XPENDING', stream, GROUP, 'IDLE', lease, '-', '+', count) or 0
  local facts = call('XINFO', 'GROUPS', stream)[1]
  for at = 1, #facts, 2 do group[facts[at]] = facts[at + 1] end
  local oldest = call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)[1]
  local age = oldest and math.max(0, now - string.match(oldest[1], '%d+')) or -1
  local ready = call('XLEN', stream) - count + over + due
  return {ready, count - over, call('ZCARD', delays) - due, call('XLEN', dead), age}
end

return do_[ARGV[1]](ARGV[2], ARGV[3])
