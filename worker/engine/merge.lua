-- Put runs on a queue, or make each one with the run of its key that is there.
-- KEYS  queue
-- ARGV  job's name, due in ms ('' = now), wait in ms, limit of events, what to do when a run of the
--       key is there ('refuse' while it waits or runs; 'replace' its payload while it waits), the
--       longest time in ms from the first request to its start ('' = nothing changes when it is
--       due), then (key, run id, payload) for each
-- Returns for each '1' when it is new, '3' when it replaced a payload, else '0'; and the run's id.
local queue, name = KEYS[1], ARGV[1]
redis.call('ZCARD', queue) -- raises before anything is written when it is of a wrong type
local due, wait = tonumber(ARGV[2]), tonumber(ARGV[3])
local replaces, longest = ARGV[5] == 'replace', tonumber(ARGV[6])
local added, verdicts, ids, memory = {}, {}, {}, 86400000

local function head_of(payload)
  return string.sub(payload, 1, #words_mark) == words_mark and string.match(payload, '^[^%]]*') or ''
end

-- Does this run wait, so that nobody has read its payload?
local function is_waiting(id)
  if exists('arq:in-progress:' .. id) then return false end
  local score = redis.call('ZSCORE', queue, id)
  return score and string.sub(score, -2) ~= '.5' and exists('arq:job:' .. id)
end

-- The newest payload begins anew: also with its attempts, when an older one was tried and failed.
local function replace(key, id, payload, first)
  local before = redis.call('GET', 'arq:job:' .. id)
  redis.call('SET', 'arq:job:' .. id, payload)
  local was_tried = (tonumber(redis.call('GET', 'arq:retry:' .. id)) or 0) > 0
  if was_tried then
    redis.call('DEL', 'arq:retry:' .. id)
    redis.call('HSET', key, 'first', text(now))
    first = now
  end
  if not longest and not was_tried and head_of(before) == head_of(payload) then return end
  local limits = controls_of(before)
  if limits then
    quit(queue, id, limits) -- to the line of its new words, if any
    release(queue, id, limits, true)
  end
  quit_turn(queue, id, before)
  redis.call('ZADD', queue, 'XX', text(longest and math.min(now + wait, first + longest) or now), id)
end

for position = 7, #ARGV, 3 do
  local key, id, payload = 'deskhand:merge:' .. ARGV[position], ARGV[position + 1], ARGV[position + 2]
  local known = ours('HMGET', key, 'id', 'first')
  local current, first, verdict = known[1], tonumber(known[2]) or now, '1'
  if current == id then
    verdict = '1' -- the same call again, because its answer was lost
  elseif current and replaces and is_waiting(current) then
    replace(key, current, payload, first)
    id, verdict = current, '3'
  elseif current and not replaces and exists('arq:job:' .. current) then
    id, verdict = current, '0'
  else
    redis.call('SET', 'arq:job:' .. id, payload)
    redis.call('ZADD', queue, arrival(queue, id, payload, due or now + wait), id)
    redis.call('HSET', key, 'id', id, 'first', text(now))
    added[#added + 1] = id
  end
  redis.call('PEXPIRE', key, text((longest or 0) + memory))
  verdicts[#verdicts + 1], ids[#ids + 1] = verdict, id
end
if #added > 0 then
  local event = '+' .. name_of(queue) .. '\n' .. name
  append('deskhand:events', ARGV[4], { event, table.concat(added, '\n') })
end
return { table.concat(verdicts), ids }
