-- End a run that waits, or ask its worker to stop it.
-- KEYS  the queues' sorted sets
-- ARGV  run id, its payload as it was read, result, its life in ms, record, limit of events, and
--       'waiting' when one that runs shall go on
-- Returns 'cancelled', 'stopping' when it runs ('running' when it goes on), 'changed' when the
-- payload is another by now, or 'gone'.
local id, read, result, life, record, limit, only = unpack(ARGV)

local function queue_of()
  for _, queue in ipairs(KEYS) do
    local score = redis.pcall('ZSCORE', queue, id)
    if score and not failed(score) then return queue, score end
  end
end

local queue, score = queue_of()
if not queue then return 'gone' end
local payload = redis.pcall('GET', 'arq:job:' .. id)
if exists('arq:in-progress:' .. id) or string.sub(score, -2) == '.5' then
  if only == 'waiting' then return 'running' end
  -- Whoever has it in hand looks there; so does whoever takes it over.
  ours('ZADD', 'arq:abort', text(now), id)
  return 'stopping'
end
if (payload or '') ~= read then return 'changed' end
local limits = controls_of(payload)
if limits then
  quit(queue, id, limits)
  release(queue, id, limits, true)
end
redis.call('ZREM', queue, id)
redis.call('PSETEX', 'arq:result:' .. id, life, result)
redis.call('DEL', 'arq:job:' .. id, 'arq:retry:' .. id, 'deskhand:unique:' .. id)
forget({ id })
quit_turn(queue, id, payload)
count(queue, 'cancelled', 1)
append('deskhand:events', limit, { '=' .. id, record })
return 'cancelled'
