-- A part of a queue: those of its runs that stand so. Changes nothing.
-- KEYS  queue
-- ARGV  how they stand, which window: 'due', 'leased' (where leases end), 'near' (where what is held
--       back waits) or 'later' (all that is not due), score and id behind which to go on ('' = from its start),
--       how many ids to look at, how many bytes of payloads to read
-- Returns {is anything left, score and id of the last that was looked at, then for each run: id,
--       score, score at which it is due, payload, attempts that are over}.
local queue, wanted, window, after, after_id = KEYS[1], unpack(ARGV, 1, 4)
local longest_lease = 3600000 -- ms
local most, most_read = tonumber(ARGV[5]), tonumber(ARGV[6])
local function less(a, b) -- of bytes, as Redis orders ids
  for position = 1, math.min(#a, #b) do
    local one, other = string.byte(a, position), string.byte(b, position)
    if one ~= other then return one < other end
  end
  return #a < #b
end

local first, last = 0, redis.pcall('ZCOUNT', queue, '-inf', text(now))
if failed(last) then return { 0, '', '' } end
if window ~= 'due' then
  local ends = { leased = text(now + longest_lease), near = text(now + far), later = '+inf' }
  first = last
  last = redis.call('ZCOUNT', queue, '-inf', ends[window])
end
if window == 'near' then -- is anything held back at all?
  local what = name_of(queue) .. (wanted == 'blocked' and ' blocked' or ' parked')
  local held = redis.pcall('HGET', 'deskhand:counts', what)
  if not (held and not failed(held) and (tonumber(held) or 0) > 0) then last = first end
end
if after ~= '' then -- the first rank behind it
  local low, high, score = first, last, tonumber(after)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local one = redis.call('ZRANGE', queue, middle, middle, 'WITHSCORES')
    local at = tonumber(one[2])
    if at < score or (at == score and not less(after_id, one[1])) then
      low = middle + 1
    else
      high = middle
    end
  end
  first = low
end

local found = { 0, after, after_id }
if first >= last or not (tonumber(most) > 0) then return found end
local part = redis.call('ZRANGE', queue, first, math.min(first + most, last) - 1, 'WITHSCORES')
local read, looked = 0, 0
for position = 1, #part, 2 do
  local id, score = part[position], part[position + 1]
  if read >= most_read then break end
  local payload = payload_of(id)
  read, looked = read + #(payload or ''), looked + 1
  found[2], found[3] = score, id
  local stands, due = standing(queue, id, score, payload)
  if stands == wanted then
    local spent = redis.pcall('GET', 'arq:retry:' .. id)
    found[#found + 1] = id
    found[#found + 1] = score
    found[#found + 1] = due
    found[#found + 1] = payload or ''
    found[#found + 1] = spent and not failed(spent) and spent or ''
  end
end
found[1] = first + looked < last and 1 or 0
return found
