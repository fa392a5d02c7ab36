-- Put runs on a queue, each unless its id is taken by a waiting, running or just finished run.
-- KEYS  queue
-- ARGV  job's name, due in ms ('' = now), wait in ms, 1 when the ids are new for certain else 0,
--       limit of events, then (run id, payload) for each
-- Returns a '1' for each that is new, else a '0'.
local queue = KEYS[1]
redis.call('ZCARD', queue) -- raises before anything is written when it is of a wrong type
local due = ARGV[2] ~= '' and ARGV[2] or text(now + tonumber(ARGV[3]))
local scores, added, verdicts, is_certain = {}, {}, {}, ARGV[4] == '1'
for position = 6, #ARGV, 2 do
  local id, payload = ARGV[position], ARGV[position + 1]
  -- Locked without a payload is a run whose payload has expired: its end would take ours along.
  local is_taken = not is_certain
    and redis.call('EXISTS', 'arq:result:' .. id, 'arq:in-progress:' .. id) > 0
  if not is_taken and redis.call('SET', 'arq:job:' .. id, payload, 'NX') then
    scores[#scores + 1] = due
    scores[#scores + 1] = id
    added[#added + 1] = id
    -- An abort of an earlier run of this name is not meant for this one.
    if not is_certain then redis.pcall('ZREM', 'arq:abort', id) end
    verdicts[#verdicts + 1] = '1'
  else
    verdicts[#verdicts + 1] = '0'
  end
end
if #scores > 0 then
  redis.call('ZADD', queue, unpack(scores))
  local event = '+' .. name_of(queue) .. '\n' .. ARGV[1]
  append('deskhand:events', ARGV[5], { event, table.concat(added, '\n') })
end
return table.concat(verdicts)
