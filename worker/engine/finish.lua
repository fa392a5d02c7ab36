-- End one attempt, if it is still its worker's to end.
-- KEYS  queue, in-progress, job, retry, result, run, abort, events, dead
-- ARGV  run id, token, ending ('over' | 'again'), attempt spent (0 | 1), unknown (0 | 1), wait in ms,
--       result, its life in ms, event, dead letter, limit of events, kept in s
-- Returns 1, or 0 when the lease was lost and somebody else may have the run.
local queue, lock, job, retry, result, run, abort, events, dead = unpack(KEYS)
local id, token, ending, spent, unknown = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local wait, kept = tonumber(ARGV[6]), tonumber(ARGV[12])

-- A lock that ran out does no harm as long as nobody else claimed the run.
local holder = redis.call('GET', lock)
if holder ~= token and (holder or redis.call('HGET', run, 'owner') ~= token) then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if ending == 'over' then
  if ARGV[7] ~= '' and tonumber(ARGV[8]) > 0 then
    redis.call('SET', result, ARGV[7], 'PX', ARGV[8])
  end
  redis.call('DEL', lock, job, retry, run)
  redis.call('ZREM', queue, id)
  redis.call('ZREM', abort, id)
else
  redis.call('ZADD', queue, now + wait, id)
  redis.call('DEL', lock)
  redis.call('HDEL', run, 'owner')
  if unknown == '1' then redis.call('HSETNX', run, 'unknown', now) end
  redis.call('EXPIRE', run, kept + math.ceil(wait / 1000))
  if spent == '1' then
    -- Attempts that are over; a stock worker that takes the run counts on from here.
    redis.call('INCR', retry)
  end
  redis.call('EXPIRE', retry, kept + math.ceil(wait / 1000))
  local left, day = redis.call('PTTL', job), 86400000
  if left >= 0 and left < wait + day then redis.call('PEXPIRE', job, wait + day) end
end

-- In the same script as the transition, so that no crash falls between "given up" and "remembered".
redis.call('XADD', events, 'MAXLEN', '~', ARGV[11], '*', 'd', ARGV[9])
if ARGV[10] ~= '' then redis.call('XADD', dead, '*', 'd', ARGV[10]) end
return 1
