-- Put runs of the outbox on their queues, each once. Rows are known by their ids.
-- KEYS  the queues' sorted sets
-- ARGV  an epoch to begin, when this call becomes void in ms ('' = never), limit of events, how many
--       rows to forget, their ids, then for each row: id, queue's number, run id, job, when it is
--       due in ms ('' = at once), since when it waits in ms, message, for how long its id stays taken
--       in ms ('' = as long as its run is known, 'c' = so, but the result of a failure takes none)
-- Returns {epoch, now, verdicts}; for each row: 'e' it is enqueued, maybe by an earlier call,
--       'r' another run of this id is there, 'o' one is over and its result is still there,
--       'h' somebody runs it, though its payload is lost, 'q' its queue is of a wrong type.
--       No verdicts: the call was void.
--
-- `deskhand:outbox` notes which rows were put, and when, until PostgreSQL has committed that.
local notes, void, limit = 'deskhand:outbox', ARGV[2], ARGV[3]
local rows = 5 + tonumber(ARGV[4])
local epoch = data_epoch(ARGV[1])
if void ~= '' and now > tonumber(void) then return { epoch, text(now), '' } end

if rows > 5 then redis.pcall('ZREM', notes, unpack(ARGV, 5, rows - 1)) end
local ids, noted = {}, {}
for at = rows, #ARGV, 8 do ids[#ids + 1] = ARGV[at] end
if #ids > 0 and exists(notes) then
  noted = redis.pcall('ZMSCORE', notes, unpack(ids))
  if failed(noted) then
    redis.call('DEL', notes)
    noted = {}
  end
end
local is_wrong = {}
for _, queue in ipairs(KEYS) do
  local kind = redis.call('TYPE', queue).ok
  is_wrong[queue] = kind ~= 'zset' and kind ~= 'none'
end

local verdicts, scores, put, added, events = {}, {}, {}, {}, {}

local function add(queue, run, job, score)
  local line = scores[queue] or {}
  scores[queue] = line
  line[#line + 1] = score
  line[#line + 1] = run
  local event = '+' .. name_of(queue) .. '\n' .. job
  if not added[event] then
    added[event] = {}
    events[#events + 1] = event
  end
  table.insert(added[event], run)
end

-- A run of this id that is there: is it this row's own?
local function is_ours(run, id)
  local own, head = '"outbox":"' .. id .. '",', redis.pcall('GETRANGE', 'arq:job:' .. run, 0, 8191)
  if failed(head) then return false end
  local words = string.match(head, '^{"h":{("c":%[[^%]]*%],)') or ''
  return string.sub(head, 7 + #words, 6 + #words + #own) == own
end

-- Did an earlier run of this id leave a mark that takes it?
local function is_taken(run, unique)
  if unique ~= '' and unique ~= 'c' and exists('deskhand:unique:' .. run) then return true end
  if unique ~= 'c' then return redis.call('EXISTS', 'arq:result:' .. run, 'arq:in-progress:' .. run) > 0 end
  if exists('arq:in-progress:' .. run) then return true end
  local result = redis.pcall('GET', 'arq:result:' .. run)
  if not result or failed(result) then return false end
  return string.find(result, '"s":true', 1, true) ~= nil
end

for position, id in ipairs(ids) do
  local at = rows + position * 8 - 8
  local _, number, run, job, due, since, message, unique = unpack(ARGV, at, at + 7)
  local queue, key, verdict = KEYS[tonumber(number)], 'arq:job:' .. run, 'e'
  if noted[position] then
    verdict = 'e'
  elseif is_wrong[queue] then
    verdict = 'q'
  elseif not is_taken(run, unique) and redis.call('SET', key, message, 'NX') then
    -- In the order in which they were enqueued, also those that come again after a loss of data.
    add(queue, run, job, arrival(queue, run, message, tonumber(due) or math.min(now, tonumber(since))))
    if unique == 'c' then redis.call('DEL', 'arq:result:' .. run) end
    if unique ~= '' and unique ~= 'c' then redis.call('SET', 'deskhand:unique:' .. run, '1', 'PX', unique) end
    put[#put + 1] = text(now)
    put[#put + 1] = id
  elseif exists(key) then
    verdict = is_ours(run, id) and 'e' or 'r'
  else
    verdict = exists('arq:in-progress:' .. run) and 'h' or 'o'
  end
  verdicts[position] = verdict
end

local has_aborts = exists('arq:abort')
for queue, line in pairs(scores) do
  redis.call('ZADD', queue, unpack(line))
  -- An abort of an earlier run of this name is not meant for this one.
  for at = 2, has_aborts and #line or 0, 2 do redis.pcall('ZREM', 'arq:abort', line[at]) end
end
if #put > 0 then
  redis.call('ZADD', notes, unpack(put))
  local fields = {}
  for _, event in ipairs(events) do
    fields[#fields + 1] = event
    fields[#fields + 1] = table.concat(added[event], '\n')
  end
  append('deskhand:events', limit, fields)
end
return { epoch, text(now), table.concat(verdicts) }
