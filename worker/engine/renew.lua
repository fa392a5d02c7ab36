-- Renew leases in one batch.
-- ARGV  lease in ms, then (queue, run id, token) for each
-- Returns the run ids whose lease is lost.
--
-- A lock that ran out is taken again as long as nobody else claimed the run: a Redis that was
-- silent for longer than the lease shall not make work run twice.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(ARGV[1])
local lost = {}
for position = 2, #ARGV, 3 do
  local queue, id, token = ARGV[position], ARGV[position + 1], ARGV[position + 2]
  local lock = 'arq:in-progress:' .. id
  local holder = redis.call('GET', lock)
  if holder == token or
      (not holder and redis.call('HGET', 'deskhand:run:' .. id, 'owner') == token) then
    redis.call('SET', lock, token, 'PX', lease)
    redis.call('ZADD', queue, 'XX', now + lease, id)
  else
    lost[#lost + 1] = id
  end
end
return lost
