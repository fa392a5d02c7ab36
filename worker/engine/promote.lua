-- Let a run that is put off come due now.
-- KEYS  the queues' sorted sets
-- ARGV  run id
-- Returns 'promoted', how it stands when it is not put off ('active', 'waiting', 'blocked'), or
--       'gone'.
local id = ARGV[1]
local queue, score = queue_of(id)
if not queue then return 'gone' end
local payload = payload_of(id)
local stands = standing(queue, id, score, payload)
if stands ~= 'delayed' then return stands end
local limits, head_start = controls_of(payload)
if limits then quit(queue, id, limits) end -- to its new place among those that come in order
if head_start > 0 and exists('deskhand:soon') then
  redis.pcall('ZREM', 'deskhand:soon', text(head_start) .. '\n' .. member_of(queue, id))
end
redis.call('ZADD', queue, 'XX', arrival(queue, id, payload or '', now), id)
return 'promoted'
