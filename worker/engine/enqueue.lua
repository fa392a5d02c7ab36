-- Put runs on a queue, each unless its id is taken by a waiting, running or just finished run.
-- KEYS  queue
-- ARGV  job's name, due in ms ('' = now), wait in ms, 1 when the ids are new for certain else 0,
--       limit of events, for how long the ids stay taken at least in ms ('' = as long as that), 1
--       when the result of a failure does not take its id else 0, then (run id, payload) for each
-- Returns for each '1' when it is new, '2' when the result of a success took its id, else '0'.
local queue = KEYS[1]
redis.call('ZCARD', queue) -- raises before anything is written when it is of a wrong type
local due = tonumber(ARGV[2]) or now + tonumber(ARGV[3])
local is_certain, unique_for, is_cached = ARGV[4] == '1', ARGV[6], ARGV[7] == '1'
local scores, added, verdicts = {}, {}, {}

-- '1' when nothing is known of this id.
local function verdict_of(id)
  if is_certain then return '1' end
  if unique_for ~= '' and exists('deskhand:unique:' .. id) then return '0' end
  -- Locked without a payload is a run whose payload has expired: its end would take ours along.
  if not is_cached then
    return redis.call('EXISTS', 'arq:result:' .. id, 'arq:in-progress:' .. id) > 0 and '0' or '1'
  end
  if exists('arq:in-progress:' .. id) then return '0' end
  local result = redis.pcall('GET', 'arq:result:' .. id)
  if not result then return '1' end
  if not failed(result) and string.find(result, '"s":true', 1, true) then return '2' end
  redis.call('DEL', 'arq:result:' .. id)
  return '1'
end

for position = 8, #ARGV, 2 do
  local id, payload = ARGV[position], ARGV[position + 1]
  local verdict = verdict_of(id)
  if verdict == '1' then
    if redis.call('SET', 'arq:job:' .. id, payload, 'NX') then
      scores[#scores + 1] = arrival(queue, id, payload, due)
      scores[#scores + 1] = id
      added[#added + 1] = id
      -- An abort of an earlier run of this name is not meant for this one.
      if not is_certain then redis.pcall('ZREM', 'arq:abort', id) end
      if unique_for ~= '' then redis.call('SET', 'deskhand:unique:' .. id, '1', 'PX', unique_for) end
    else
      verdict = '0'
    end
  end
  verdicts[#verdicts + 1] = verdict
end
if #scores > 0 then
  redis.call('ZADD', queue, unpack(scores))
  local event = '+' .. name_of(queue) .. '\n' .. ARGV[1]
  append('deskhand:events', ARGV[5], { event, table.concat(added, '\n') })
end
return table.concat(verdicts)
