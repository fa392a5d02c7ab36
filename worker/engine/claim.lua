-- Claim due runs of several queues: one call, at most the free slots of each.
-- KEYS  the queues' sorted sets
-- ARGV  token, lease in ms, kept in s, the free slots of each queue in the order of KEYS,
--       then (queue, run id, token) of each run that this worker has in hand
-- Returns {queue index, run id, payload, due ms, attempts spent, crashes, abort ms, unknown since ms}…
--
-- A claim is `arq:in-progress:<id>` = token (stock workers and `Job.status()` look there) and the
-- score moved to the lease's end: the run leaves the head of the queue, still counts as queued for
-- `Job.result()`, and comes due by itself when its worker is gone.
--
-- Whoever can write to Redis can write nonsense. What concerns one run is called with `pcall`, so
-- that a run with keys of a wrong type is set aside and holds up none beside it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token, lease, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local day, page, furthest = 86400000, 64, 2000
local claimed = {}

local function failed(reply) return type(reply) == 'table' and reply.err end

-- {payload, attempts spent, crashes, abort ms, unknown since ms}, or nil and what is wrong.
local function take(id)
  local payload = redis.pcall('GET', 'arq:job:' .. id)
  if failed(payload) then return nil, payload.err end
  local run = 'deskhand:run:' .. id
  local is_new = redis.pcall('HSET', run, 'owner', token)
  if failed(is_new) then return nil, is_new.err end
  local crashes = redis.call('HGET', run, 'crashes') or '0'
  if is_new == 0 then
    -- The owner before never said how it ended.
    crashes = redis.pcall('HINCRBY', run, 'crashes', 1)
    if failed(crashes) then return nil, crashes.err end
  end
  redis.call('EXPIRE', run, kept)
  local spent = redis.pcall('GET', 'arq:retry:' .. id)
  if failed(spent) then return nil, spent.err end
  local aborted = redis.pcall('ZSCORE', 'arq:abort', id)
  if failed(aborted) then aborted = false end
  return { payload, spent or '0', tostring(crashes), aborted, redis.call('HGET', run, 'unknown') }
end

local function keep(id)
  -- Started in time: from here on the payload outlives any retry.
  local left = redis.call('PTTL', 'arq:job:' .. id)
  if left >= 0 and left < day then redis.call('PEXPIRE', 'arq:job:' .. id, day + lease) end
end

-- What this worker has in hand is not for it to claim again: after a silence of Redis that was
-- longer than the lease, this call may be the first that is answered.
for position = 4 + #KEYS, #ARGV, 3 do
  local queue, id, held = ARGV[position], ARGV[position + 1], ARGV[position + 2]
  if redis.pcall('HGET', 'deskhand:run:' .. id, 'owner') == held
      and redis.call('SET', 'arq:in-progress:' .. id, held, 'NX', 'PX', lease) then
    redis.call('ZADD', queue, 'XX', now + lease, id)
  end
end

for index, queue in ipairs(KEYS) do
  local free, seen, skipped = tonumber(ARGV[3 + index]), 0, 0
  while free > 0 and seen < furthest do
    local due = redis.pcall(
      'ZRANGEBYSCORE', queue, '-inf', now, 'WITHSCORES', 'LIMIT', skipped, page)
    if failed(due) or #due == 0 then break end
    for position = 1, #due, 2 do
      if free == 0 then break end
      seen = seen + 1
      local id, score = due[position], due[position + 1]
      local lock = 'arq:in-progress:' .. id
      local locked = redis.pcall('SET', lock, token, 'NX', 'PX', lease)
      if not locked or failed(locked) then
        skipped = skipped + 1 -- somebody else's, with its score still here (a stock worker's)
      else
        local found, wrong = take(id)
        if not found then
          redis.call('XADD', 'deskhand:rejected', 'MAXLEN', '~', 1000, '*',
            'queue', queue, 'run', id, 'why', wrong)
          redis.call('ZREM', queue, id)
          redis.call('DEL', lock)
        elseif not found[1] and redis.call('EXISTS', 'arq:result:' .. id) == 1 then
          -- Not a run: a stock abort() put a finished id back.
          redis.call('ZREM', queue, id)
          redis.pcall('ZREM', 'arq:abort', id)
          redis.call('DEL', lock, 'deskhand:run:' .. id)
        else
          free = free - 1
          redis.call('ZADD', queue, 'XX', now + lease, id)
          if found[1] then keep(id) end
          claimed[#claimed + 1] =
            { index, id, found[1], score, found[2], found[3], found[4], found[5] }
        end
      end
    end
  end
end
return claimed
