-- Lift the expiry that stock pools put on payloads, from runs that have waited for long.
-- KEYS  queue
-- ARGV  first and last rank to look at, how long after it was due a run has waited long, in ms,
--       the expiry of stock pools after the due time in ms
-- Returns {how many were looked at, how many payloads were kept}.
--
-- Another expiry than ARQ's own was asked for, and is honoured.
local waiting = redis.pcall('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES')
if failed(waiting) then return { 0, 0 } end
local long, usual, near = tonumber(ARGV[3]), tonumber(ARGV[4]), 5000
local looked, lifted = 0, 0
for position = 1, #waiting, 2 do
  local id, due = waiting[position], tonumber(waiting[position + 1])
  if due > now - long then break end
  looked = looked + 1
  local left = redis.call('PTTL', 'arq:job:' .. id)
  if left >= 0 and math.abs(now + left - due - usual) < near then
    redis.call('PERSIST', 'arq:job:' .. id)
    lifted = lifted + 1
  end
end
return { looked, lifted }
