-- When a run may start, by the words at the head of its payload (jobs/kit/controls.py).
--
-- A run that may not yet start waits in the line of the limit that it is over: a sorted set of
-- '<queue>\n<run id>' with the scores that they had. It stays in its queue too, where stock readers
-- look, with a score far ahead. Only the first of a line comes due: when there may be room, or as
-- soon as somebody made room. So nothing polls, and a line of any length costs what its first does.
local far, rest, most_woken, most_limits, most_count = 21600000, 300000, 16, 16, 10000 -- ms, ms, runs

local words_mark = '{"h":{"c":['

-- The limits in a payload's words, and its head start; nothing when it has no words.
local function controls_of(payload)
  if not payload or string.sub(payload, 1, #words_mark) ~= words_mark then return nil, 0 end
  local limits, head_start = {}, 0
  local words = string.match(payload, '^[^%]]*', #words_mark + 1)
  for kind, word in string.gmatch(words, '"(%a)([^"]*)"') do
    local number, key = string.match(word, '^(%d*)/?(.*)$')
    number = math.min(math.max(tonumber(number) or 1, 1), most_count)
    if kind == 'p' then
      head_start = math.min(tonumber(string.match(word, '^%d+')) or 0, 3600000)
    elseif kind == 'k' or kind == 'o' then
      limits[#limits + 1] = { kind = kind, key = key, count = kind == 'o' and 1 or number }
    elseif kind == 'r' then
      local per, shared = string.match(key, '^(%d+)/(.*)$')
      if per then
        -- A little longer than asked: a run starts some time after it was claimed, never before.
        per = math.min(tonumber(per), 2678400000)
        per = per + math.min(50 + math.ceil(per / 100), 250)
        -- Each window has starts and lines of its own; a key rests as a whole.
        local window = text(per) .. '/' .. shared
        limits[#limits + 1] = { kind = kind, key = window, whole = shared, count = number, per = per }
      end
    end
    if #limits == most_limits then break end
  end
  return limits, head_start
end

-- A command on a key of ours; what somebody else put in its place is none of ours to keep.
local function ours(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if not failed(reply) then return reply end
  redis.call('DEL', key)
  return redis.call(command, key, ...)
end

-- Rates may be shared by queues, and a paused one must not hold up another: a line for each.
local function line_of(limit, queue)
  local name = 'deskhand:line:' .. limit.kind .. limit.key
  return limit.kind == 'r' and name .. '\n' .. name_of(queue) or name
end

local function member_of(queue, id)
  return name_of(queue) .. '\n' .. id
end

local function of_member(member)
  local name, id = string.match(member, '^([^\n]*)\n(.*)$')
  return tag .. (name or ''), id or ''
end

-- What is written as a start; nonsense is long ago.
local function instant(written)
  local at = tonumber(written) or 0
  return at == at and at or 0
end

-- How many more may start now, and (when none) the score at which to look again.
local function rate_room(limit)
  local held = redis.call('PTTL', 'deskhand:hold:' .. limit.whole)
  if held > 0 then return 0, now + held end
  local starts = 'deskhand:rate:' .. limit.key
  local known = ours('LLEN', starts)
  while known > 0 do -- those at the end are the oldest
    local oldest = instant(redis.call('LINDEX', starts, -1))
    if oldest + limit.per > now and oldest <= now then break end
    redis.call('RPOP', starts)
    known = known - 1
  end
  if known < limit.count then return limit.count - known end
  return 0, math.min(instant(redis.call('LINDEX', starts, limit.count - 1)), now) + limit.per
end

-- The same for runs at once; also whether this run has its place already (its worker was lost).
-- A place is worth as much as its holder: one whose lease lapsed, or (in order) that is over, is free.
local function place_room(limit, id)
  local places = 'deskhand:held:' .. limit.kind .. limit.key
  local taken = ours('SCARD', places)
  if taken > 0 and redis.call('SISMEMBER', places, id) == 1 then return 1, 0, true end
  if taken >= limit.count then
    local sign = limit.kind == 'o' and 'arq:job:' or 'arq:in-progress:'
    for _, holder in ipairs(redis.call('SMEMBERS', places)) do
      if not exists(sign .. holder) then taken = taken - redis.call('SREM', places, holder) end
    end
  end
  return math.max(limit.count - taken, 0), now + rest
end

local function room_of(limit, id)
  if limit.kind == 'r' then return rate_room(limit) end
  return place_room(limit, id)
end

-- The first of a line, without those whose run is gone, and its score in its queue.
local function front(line)
  for _ = 1, 100 do
    local first = ours('ZRANGE', line, 0, 0)[1]
    if not first then return nil end
    local queue, id = of_member(first)
    local score = redis.pcall('ZSCORE', queue, id)
    if score and not failed(score) then return first, tonumber(score) end
    redis.call('ZREM', line, first)
    count(queue, 'blocked', -1)
  end
end

-- There is room for so many, or for none until `at`: the first of the line come due by that.
local function wake(line, room, at)
  if not exists(line) then return end
  local first, score = front(line)
  if not first then return end
  if room < 1 then
    local queue, id = of_member(first)
    -- Not before it was asked for: what is put off stands in order, too.
    at = math.max(at, instant(redis.call('ZSCORE', line, first)))
    if score ~= at then redis.call('ZADD', queue, 'XX', text(at), id) end
  elseif score > now then
    local members = redis.call('ZRANGE', line, 0, math.min(room, most_woken) - 1, 'WITHSCORES')
    for position = 1, #members, 2 do
      local queue, id = of_member(members[position])
      redis.pcall('ZADD', queue, 'XX', members[position + 1], id)
    end
  end
end

-- This run waits in no line any more; or in `only` one, and where runs come in order. Returns the
-- limits whose lines it left.
local function leave(queue, id, limits, only)
  local me, left = member_of(queue, id), {}
  for _, limit in ipairs(limits) do
    local line = line_of(limit, queue)
    if (not only or (line ~= only and limit.kind ~= 'o')) and exists(line) then
      if ours('ZREM', line, me) == 1 then
        count(queue, 'blocked', -1)
        left[#left + 1] = limit
      end
    end
  end
  return left
end

-- A run that comes in order stands in line from the beginning, before anybody asks whether it may
-- start: whatever else it waits for, those behind it wait for it.
local function line_up(queue, id, limits, score)
  for _, limit in ipairs(limits) do
    if limit.kind == 'o' and ours('ZADD', line_of(limit, queue), 'NX', score, member_of(queue, id)) == 1 then
      count(queue, 'blocked', 1)
    end
  end
end

-- Stand in line, where one's score says; only the first of a line comes due.
local function stand(queue, id, score, line, at)
  local me = member_of(queue, id)
  local second = front(line)
  if ours('ZADD', line, 'NX', score, me) == 1 then count(queue, 'blocked', 1) end
  local is_first = front(line) == me
  redis.call('ZADD', queue, 'XX', text(is_first and at or now + far), id)
  if is_first and second and second ~= me then
    local other, displaced = of_member(second)
    redis.pcall('ZADD', other, 'XX', text(now + far), displaced)
  end
end

-- Whoever is first in these lines may come due now, or knows when.
local function wake_lines(queue, limits)
  for _, limit in ipairs(limits) do
    local line = line_of(limit, queue)
    if exists(line) then wake(line, room_of(limit, '')) end
  end
end

-- The score that this run came with, if it waits in a line.
local function came_with(queue, id, limits)
  for _, limit in ipairs(limits) do
    local line = line_of(limit, queue)
    local score = exists(line) and ours('ZSCORE', line, member_of(queue, id))
    if score then return score end
  end
end

-- May this run, which is locked, start? Then it has its places, and its starts are counted; else
-- it waits, and is not locked any more. Returns the score that it came with, or nothing.
local function admit(queue, id, score, limits)
  local me = member_of(queue, id)
  score = came_with(queue, id, limits) or score
  for _, limit in ipairs(limits) do
    local line = line_of(limit, queue)
    local room, at, is_placed = room_of(limit, id)
    if not is_placed then
      local ahead = 0
      if exists(line) then -- where would it stand?
        if ours('ZADD', line, 'NX', score, me) == 1 then count(queue, 'blocked', 1) end
        front(line)
        ahead = redis.call('ZRANK', line, me) or 0
      end
      -- Nobody passes the first of a line, also not one whose limit is a wider one.
      if room < 1 or ahead > 0 then
        local left = leave(queue, id, limits, line)
        stand(queue, id, score, line, at or now + rest)
        if room > 0 then wake(line, room, at) end -- whoever is ahead may go
        wake_lines(queue, left)
        redis.call('DEL', 'arq:in-progress:' .. id)
        return nil
      end
    end
  end
  leave(queue, id, limits)
  for _, limit in ipairs(limits) do
    if limit.kind == 'r' then
      local starts = 'deskhand:rate:' .. limit.key
      redis.call('LPUSH', starts, text(now))
      redis.call('LTRIM', starts, 0, most_count - 1)
      redis.call('PEXPIRE', starts, text(limit.per))
    else
      local places = 'deskhand:held:' .. limit.kind .. limit.key
      redis.call('SADD', places, id)
      redis.call('EXPIRE', places, 2678400)
    end
  end
  wake_lines(queue, limits)
  return score
end

-- This run is not to start any more, or has other words now: whoever is behind it moves up.
local function quit(queue, id, limits)
  wake_lines(queue, leave(queue, id, limits))
end

-- This run's places are free: it is over, or (but in order) comes back.
local function release(queue, id, limits, is_over)
  for _, limit in ipairs(limits) do
    if limit.kind == 'k' or (limit.kind == 'o' and is_over) then
      if ours('SREM', 'deskhand:held:' .. limit.kind .. limit.key, id) == 1 then
        local line = line_of(limit, queue)
        if exists(line) then wake(line, room_of(limit, '')) end
      end
    end
  end
end

-- The keys of these rates rest for so long: their service asked for it.
local function hold(limits, ms)
  for _, limit in ipairs(limits) do
    local key = 'deskhand:hold:' .. (limit.whole or '')
    if limit.kind == 'r' and redis.call('PTTL', key) < ms then
      redis.call('SET', key, '1', 'PX', text(ms))
    end
  end
end

-- A run that is put off gets its head start when it comes due, not before.
local function put_off(queue, id, due, head_start)
  if head_start > 0 and due > now then
    ours('ZADD', 'deskhand:soon', text(due), text(head_start) .. '\n' .. member_of(queue, id))
  end
end

-- Queues that nobody claims from now, by name; and when the next of them is open again.
local function paused_queues()
  local paused, reopens = {}, nil
  if not exists('deskhand:paused') then return paused end
  local all = ours('HGETALL', 'deskhand:paused')
  for position = 1, #all, 2 do
    local ends = tonumber(all[position + 1])
    if not ends or ends > now then
      paused[all[position]] = true
      if ends and (not reopens or ends < reopens) then reopens = ends end
    end
  end
  return paused, reopens
end
