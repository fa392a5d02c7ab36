-- Claim due runs of several queues: one call, at most the free slots of each.
-- KEYS  the queues' sorted sets
-- ARGV  token, lease in ms, kept in s, then the free slots of each queue in the order of KEYS
-- Returns {queue index, run id, payload, due ms, attempts spent, crashes, abort ms, unknown since ms}…
--
-- A claim is `arq:in-progress:<id>` = token (stock workers and `Job.status()` look there) and the
-- score moved to the lease's end: the run leaves the head of the queue, still counts as queued for
-- `Job.result()`, and comes due by itself when its worker is gone.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token, lease, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local day = 86400000
local claimed = {}

for index, queue in ipairs(KEYS) do
  local free = tonumber(ARGV[3 + index])
  local due = {}
  if free > 0 then
    due = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, free + 16)
  end
  for position = 1, #due, 2 do
    if free == 0 then break end
    local id, score = due[position], due[position + 1]
    local lock, payload_key = 'arq:in-progress:' .. id, 'arq:job:' .. id
    if redis.call('SET', lock, token, 'NX', 'PX', lease) then
      local payload = redis.call('GET', payload_key)
      if not payload and redis.call('EXISTS', 'arq:result:' .. id) == 1 then
        -- Not a run: a stock abort() put a finished id back.
        redis.call('ZREM', queue, id)
        redis.call('ZREM', 'arq:abort', id)
        redis.call('DEL', lock)
      else
        free = free - 1
        redis.call('ZADD', queue, 'XX', now + lease, id)
        if payload then
          -- Started in time: from here on the payload outlives any retry.
          local left = redis.call('PTTL', payload_key)
          if left >= 0 and left < day then redis.call('PEXPIRE', payload_key, day + lease) end
        end
        local run = 'deskhand:run:' .. id
        local crashes = redis.call('HGET', run, 'crashes') or '0'
        if redis.call('HSET', run, 'owner', token) == 0 then
          -- The owner before never said how it ended.
          crashes = redis.call('HINCRBY', run, 'crashes', 1)
        end
        redis.call('EXPIRE', run, kept)
        claimed[#claimed + 1] = {
          index, id, payload, score,
          redis.call('GET', 'arq:retry:' .. id) or '0',
          tostring(crashes),
          redis.call('ZSCORE', 'arq:abort', id),
          redis.call('HGET', run, 'unknown'),
        }
      end
    end
  end
end
return claimed
