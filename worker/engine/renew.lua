-- Renew leases in one batch.
-- ARGV  lease in ms, then (queue, run id, token) for each
-- Returns the run ids whose lease is lost.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(ARGV[1])
local lost = {}
for position = 2, #ARGV, 3 do
  local queue, id, token = ARGV[position], ARGV[position + 1], ARGV[position + 2]
  local lock = 'arq:in-progress:' .. id
  if redis.call('GET', lock) == token then
    redis.call('PEXPIRE', lock, lease)
    redis.call('ZADD', queue, 'XX', now + lease, id)
  else
    lost[#lost + 1] = id
  end
end
return lost
