-- Forget the result of a run that is over.
-- KEYS  the queues' sorted sets
-- ARGV  run id
-- Returns 'forgotten', or 'active' or 'waiting' for a run that is not over: it stays as it is.
local id = ARGV[1]
if exists('arq:in-progress:' .. id) then return 'active' end
if queue_of(id) or exists('arq:job:' .. id) then return 'waiting' end
redis.call('DEL', 'arq:result:' .. id, 'deskhand:live:' .. id, 'deskhand:unique:' .. id)
return 'forgotten'
