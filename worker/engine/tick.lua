-- One call of the engine: end attempts, then claim due runs of several queues.
-- KEYS  the queues' sorted sets
-- ARGV  owner (the worker), token (of the runs claimed now), the name that remembers this call,
--       the call's serial number, the epoch the worker knows ('' = none yet), an epoch to begin,
--       lease in ms, kept in s, limit of events, how many attempts end, how many runs to claim at
--       most, the free slots of each queue (-1 = none, but sort what is due), then the attempts (see
--       finish.lua), then for each whose payload has words its number, the payload's head, and how
--       long in ms its rates shall rest
-- Returns {epoch, verdicts, lease's end, queue numbers, run ids, payloads, scores, attempts spent,
--          {position, 'crashes' | 'aborted' | 'unknown', value}… {queue number, 'unsorted', 1}…}
--
-- A call is remembered under its serial number: sent again because its answer was lost, it changes
-- nothing and returns the same. The epoch names the data: a Redis that came back empty has another.
local owner, token, memory, serial = ARGV[1], ARGV[2], 'deskhand:tick:' .. ARGV[3], tonumber(ARGV[4])
local known, lease, kept, limit = ARGV[5], ARGV[7], tonumber(ARGV[8]), ARGV[9]
local ending, most, slots = tonumber(ARGV[10]), tonumber(ARGV[11]), 11

local function answer(epoch, past)
  local payloads, spent = {}, {}
  if #past.ids > 0 then
    payloads = past.payloads or redis.call('MGET', unpack(prefixed('arq:job:', past.ids)))
    spent = past.spent or redis.call('MGET', unpack(prefixed('arq:retry:', past.ids)))
  end
  return { epoch, past.verdicts, past.leased, past.queues, past.ids, payloads, past.scores, spent, past.extras }
end

local epoch = data_epoch(ARGV[6])

local remembered = redis.pcall('GET', memory)
if remembered and not failed(remembered) then
  local is_ours, past = pcall(cmsgpack.unpack, remembered)
  if is_ours and type(past) == 'table' and serial <= (tonumber(past.serial) or 0) then
    return answer(epoch, past)
  end
end

local taken = { queues = {}, ids = {}, payloads = {}, scores = {}, spent = {}, extras = {}, bytes = 0 }
local events = {}
taken.serial, taken.leased = serial, now + tonumber(lease)
local first, words = slots + #KEYS + 1, {}
for at = first + 9 * ending, #ARGV, 3 do
  words[tonumber(ARGV[at])] = { head = ARGV[at + 1], rest = tonumber(ARGV[at + 2]) }
end
taken.verdicts = finish(first, ending, known ~= '' and known ~= epoch, kept, events, words)
start_ahead()
local paused = paused_queues()
local turns = {}
for index, queue in ipairs(KEYS) do turns[index] = turns_of(queue) end
local any_turns = redis.call('EXISTS', unpack(turns)) > 0 -- one question for all, which is seldom yes
for index, queue in ipairs(KEYS) do
  local asked = tonumber(ARGV[slots + index])
  local free, is_unsorted = math.min(asked, most - #taken.ids), false
  if paused[name_of(queue)] then
    is_unsorted = false
  elseif free > 0 then
    is_unsorted = claim(index, queue, free, token, lease, taken, events, owner, any_turns)
  elseif asked < 0 then
    is_unsorted = sort(queue)
  end
  if is_unsorted then table.insert(taken.extras, { index, 'unsorted', 1 }) end
end
append('deskhand:events', limit, events)

local reply = answer(epoch, taken)
taken.payloads, taken.spent = nil, nil
redis.call('SET', memory, cmsgpack.pack(taken), 'EX', 600)
return reply
