-- Put one run on a queue, unless its id is taken by a waiting, running or just finished one.
-- KEYS  job, result, queue, abort
-- ARGV  run id, payload, due in ms ('' = now), wait in ms, expiry in ms ('' = never)
-- Returns 1 when it is new, else 0.
local job, result, queue, abort = unpack(KEYS)
if redis.call('EXISTS', job, result) > 0 then return 0 end
local due = tonumber(ARGV[3])
if not due then
  local time = redis.call('TIME')
  due = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[4])
end
if ARGV[5] == '' then
  redis.call('SET', job, ARGV[2])
else
  redis.call('SET', job, ARGV[2], 'PX', ARGV[5])
end
redis.call('ZADD', queue, due, ARGV[1])
-- An abort of an earlier run of this name is not meant for this one.
redis.call('ZREM', abort, ARGV[1])
return 1
