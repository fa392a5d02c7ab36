-- Tenants take turns on a queue that cannot keep up.
--
-- As soon as more is due than there are free slots, the due runs are sorted: the first of each
-- tenant stays where it is, the others wait in the tenant's lane, a sorted set of run ids with the
-- scores that they had; in the queue their scores are far ahead. Whose first run is taken, the next
-- of its lane comes due behind all that is due now. So one run of a tenant waits for one of each
-- other tenant, not for all of them, and a queue that keeps up pays nothing.
--
-- 'deskhand:turns:<queue>' knows 't<tenant>' -> the run whose turn it is, 'r<that run>' -> tenant,
-- 'c' -> how far the due runs are sorted, and 'm' -> when turns were mended. What belongs to no tenant is one of its own.
local most_sorted, shown = 300, 2048 -- runs a call; bytes of a payload, where its tenant stands

local function turns_of(queue)
  return 'deskhand:turns:' .. name_of(queue)
end

local function lane_of(queue, tenant)
  return 'deskhand:lane:' .. name_of(queue) .. '\n' .. tenant
end

local function tenant_in(payload)
  return string.match(payload, '"tenant_id":"([%x%-]+)"')
end

-- Is this one of runs that come in the order of their scores, which a turn would change?
local function is_ordered(payload)
  if string.sub(payload, 1, #words_mark) ~= words_mark then return false end
  return string.find(string.match(payload, '^[^%]]*', #words_mark + 1), '"o/', 1, true) ~= nil
end

local function head_start_of(id)
  local head = redis.pcall('GETRANGE', 'arq:job:' .. id, 0, #words_mark + 16)
  return not failed(head) and tonumber(string.match(head, '^{"h":{"c":%["p(%d+)"')) or 0
end

-- It is the tenant's turn with these runs now; the last of them brings the next.
local function give_turn(turns, tenant, id)
  ours('HSET', turns, 't' .. tenant, id, 'r' .. id, tenant)
end

-- The next runs of a lane come due, up to so many (100: their order is told by thousandths, and a
-- half means a lease).
local function bring(queue, turns, tenant, most)
  local lane, brought, last = lane_of(queue, tenant), 0, nil
  while brought < most do
    local first = ours('ZPOPMIN', lane, most - brought)
    if #first == 0 then break end
    count(queue, 'parked', -#first / 2)
    for position = 1, #first, 2 do
      local id = first[position]
      local score = redis.pcall('ZSCORE', queue, id)
      -- Not over meanwhile, and not taken: somebody may have aborted it.
      if score and not failed(score) and string.sub(score, -2) ~= '.5' then
        -- Behind all that is due, but for its head start, and in their own order.
        local at = now - 1 - head_start_of(id) + brought * 0.004
        redis.call('ZADD', queue, 'XX', string.format('%.3f', at), id)
        brought, last = brought + 1, id
      end
    end
  end
  if last then give_turn(turns, tenant, last) else redis.call('HDEL', turns, 't' .. tenant) end
  return brought
end

-- These runs were taken, or wait elsewhere now: those behind them move up. Returns whether any did.
local function next_turns(queue, turns, ids, free)
  if #ids == 0 then return false end
  local fields, brought = {}, 0
  for position, id in ipairs(ids) do fields[position] = 'r' .. id end
  local tenants, served = ours('HMGET', turns, unpack(fields)), {}
  for position, tenant in ipairs(tenants) do
    if tenant then
      redis.call('HDEL', turns, fields[position])
      served[#served + 1] = tenant
    end
  end
  -- Alone, a tenant may have all free slots; else they share them.
  local waiting = math.max(math.floor((redis.call('HLEN', turns) + #served) / 2), 1)
  local share = math.min(math.max(math.floor(free / waiting), 1), 100)
  for _, tenant in ipairs(served) do brought = brought + bring(queue, turns, tenant, share) end
  if redis.call('HLEN', turns) <= 2 then redis.call('DEL', turns) end -- 'c' and 'm' alone
  return brought > 0
end

-- While there are free slots, see now and then that each turn is somebody's who is due, or runs: it
-- may have been put off, blocked, or taken by a worker that knows no turns.
local function mend_turns(queue, turns)
  if now - instant(ours('HGET', turns, 'm')) < 1000 then return end
  redis.call('HSET', turns, 'm', text(now))
  local all = redis.call('HGETALL', turns)
  for position = 1, #all, 2 do
    local tenant, id = string.match(all[position], '^t(.*)$'), all[position + 1]
    local score = tenant and redis.pcall('ZSCORE', queue, id)
    if tenant and not (score and (string.sub(score, -2) == '.5' or tonumber(score) <= now)) then
      redis.call('HDEL', turns, 'r' .. id)
      bring(queue, turns, tenant, 1)
    end
  end
  if redis.call('HLEN', turns) <= 2 then redis.call('DEL', turns) end
end

-- This run is over, or put off, and has no turn: neither now nor in a lane.
local function quit_turn(queue, id, payload)
  local turns = turns_of(queue)
  if not exists(turns) then return end
  local tenant = tenant_in(string.sub(payload or '', 1, shown)) or '-'
  if ours('ZREM', lane_of(queue, tenant), id) == 1 then count(queue, 'parked', -1) end
  next_turns(queue, turns, { id }, 1)
end

-- The rank behind the last run that is sorted.
local function sorted_up_to(queue, turns)
  local score, id = string.match(ours('HGET', turns, 'c') or '', '^(%S+) (.*)$')
  if not score then return 0 end
  if redis.call('ZSCORE', queue, id) == score then return redis.call('ZRANK', queue, id) + 1 end
  return redis.call('ZCOUNT', queue, '-inf', '(' .. score)
end

-- Sort some of the due runs; returns whether there are more.
local function sort(queue)
  if redis.call('TYPE', queue).ok ~= 'zset' then return false end
  local turns = turns_of(queue)
  local first = sorted_up_to(queue, turns)
  local due = redis.call('ZRANGE', queue, first, first + most_sorted - 1, 'WITHSCORES')
  local parked, cursor, is_page_due = 0, nil, #due == 2 * most_sorted
  for position = 1, #due, 2 do
    local id, score = due[position], due[position + 1]
    if tonumber(score) > now then
      is_page_due = false
      break
    end
    local payload = redis.pcall('GETRANGE', 'arq:job:' .. id, 0, shown)
    if failed(payload) then payload = '' end
    local tenant = tenant_in(payload) or '-'
    local turn = ours('HGET', turns, 't' .. tenant)
    local is_first = not turn or turn == id or not redis.call('ZSCORE', queue, turn)
    local stays = is_ordered(payload) or string.sub(score, -2) == '.5'
    if is_first or stays then
      if not stays then give_turn(turns, tenant, id) end
      cursor = score .. ' ' .. id
    else
      parked = parked + ours('ZADD', lane_of(queue, tenant), 'NX', score, id)
      redis.call('ZADD', queue, 'XX', text(now + far), id)
    end
  end
  if cursor then redis.call('HSET', turns, 'c', cursor) end
  count(queue, 'parked', parked)
  return is_page_due
end

-- The score of a run that comes ahead of others which are sorted by now: it is sorted at once.
local function ahead(queue, id, payload, score)
  local turns = turns_of(queue)
  if not exists(turns) or is_ordered(payload) then return text(score) end
  local tenant = tenant_in(string.sub(payload, 1, shown)) or '-'
  local turn = ours('HGET', turns, 't' .. tenant)
  if not turn or not redis.call('ZSCORE', queue, turn) then
    give_turn(turns, tenant, id)
    return text(score)
  end
  count(queue, 'parked', ours('ZADD', lane_of(queue, tenant), 'NX', text(score), id))
  return text(now + far)
end

-- The score of a run that is enqueued now, for when it is asked to be due.
local function arrival(queue, id, payload, due)
  if string.sub(payload, 1, #words_mark) ~= words_mark then return text(due) end
  local words = string.match(payload, '^[^%]]*', #words_mark + 1)
  local limits, head_start = controls_of(payload)
  local ordered = string.match(words, '"o/([^"]*)"')
  if ordered and due <= now then -- of one millisecond, too, the first comes first
    local last = 'deskhand:order:' .. ordered
    due = math.max(due, instant(ours('GET', last)) + 1)
    redis.call('SET', last, text(due), 'EX', 86400)
  end
  if ordered then line_up(queue, id, limits, text(due - head_start)) end
  put_off(queue, id, due, head_start)
  if due > now or head_start == 0 then return text(due) end
  return ahead(queue, id, payload, due - head_start)
end

-- Runs with a head start that are due by now.
local function start_ahead()
  if not exists('deskhand:soon') then return end
  local due = ours('ZRANGEBYSCORE', 'deskhand:soon', '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, 500)
  for position = 1, #due, 2 do
    local head_start, member = string.match(due[position], '^(%d+)\n(.*)$')
    local queue, id = of_member(member or '')
    if redis.pcall('ZSCORE', queue, id) == due[position + 1] then
      local payload = redis.pcall('GETRANGE', 'arq:job:' .. id, 0, shown)
      local score = due[position + 1] - head_start
      local at = failed(payload) and text(score) or ahead(queue, id, payload, score)
      redis.call('ZADD', queue, 'XX', at, id)
    end
    redis.call('ZREM', 'deskhand:soon', due[position])
  end
end
