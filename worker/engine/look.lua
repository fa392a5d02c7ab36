-- Look at one run. Changes nothing.
-- KEYS  the queues' sorted sets
-- ARGV  run id
-- Returns {} when it is in no queue, else {queue's number, how it stands, score at which it is due,
--       payload, attempts that are over}.
local queue, score, number = queue_of(ARGV[1])
if not queue then return {} end
local payload = payload_of(ARGV[1])
local stands, due = standing(queue, ARGV[1], score, payload)
local spent = redis.pcall('GET', 'arq:retry:' .. ARGV[1])
return { number, stands, due, payload or '', spent and not failed(spent) and spent or '' }
