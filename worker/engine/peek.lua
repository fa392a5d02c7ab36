-- Look when there will be something to claim; asked on a connection that tracks what it reads, so
-- that Redis says when a queue changed after that. Changes nothing.
-- KEYS  the queues' sorted sets
-- Returns {now, 1 when something is due else 0, when the next comes due ('' = never)}.
local paused, reopens = paused_queues()
local is_due, soonest = 0, reopens or ''
for _, queue in ipairs(KEYS) do
  local first = not paused[name_of(queue)] and redis.pcall('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if first and not failed(first) and first[2] then
    local at = tonumber(first[2])
    if at <= now then
      is_due = 1
      local later = redis.call('ZRANGEBYSCORE', queue, '(' .. text(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
      at = later[2] and tonumber(later[2])
    end
    if at and (soonest == '' or at < soonest) then soonest = at end
  end
end
return { now, is_due, soonest == '' and '' or text(math.ceil(soonest)) }
