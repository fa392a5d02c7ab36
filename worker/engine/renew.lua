-- Renew leases in one batch.
-- KEYS  the queues' sorted sets
-- ARGV  lease in ms, then (queue's number, run id, token, lease's end, epoch) for each
-- Returns {the new end, the run ids whose lease is lost}.
--
-- A lock that ran out is taken again as long as nobody else claimed the run: a Redis that was
-- silent for longer than the lease shall not make work run twice. A run that a Redis which came
-- back empty knows nothing of is neither renewed nor lost.
local lease = tonumber(ARGV[1])
local ends, lost = now + lease, {}
local epoch = redis.pcall('GET', 'deskhand:epoch')
for position = 2, #ARGV, 5 do
  local index, id, token, leased, theirs = unpack(ARGV, position, position + 4)
  local queue = KEYS[tonumber(index)]
  local lock = 'arq:in-progress:' .. id
  local holder = redis.pcall('GET', lock)
  if not holder and redis.pcall('ZSCORE', queue, id) == leased .. '.5' then
    holder = redis.call('SET', lock, token, 'PX', lease) and token
  end
  if holder == token then
    redis.call('PEXPIRE', lock, lease)
    redis.pcall('ZADD', queue, 'XX', leased_score(ends), id)
  elseif theirs == epoch then
    lost[#lost + 1] = id
  end
end
return { ends, lost }
