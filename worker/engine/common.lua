-- What every script begins with. Scores, leases and waits are milliseconds by Redis' own clock.
-- `tag` is what every key begins with (scripts.py): a hash tag in a Redis Cluster, else nothing.
--
-- Whoever can write to Redis can write nonsense. What concerns one run is called with `pcall`, so
-- that keys of a wrong type set one run aside and hold up none beside it.
--
-- Numbers go to `redis.call` as text made once: making it anew for each run costs more than the
-- call itself.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(number)
  return string.format('%.0f', number)
end

local function failed(reply)
  return type(reply) == 'table' and reply.err
end

local function exists(key)
  return redis.call('EXISTS', key) == 1
end

-- A queue as events and counts name it.
local function name_of(queue)
  return string.sub(queue, #tag + 1)
end

-- The score of a run whose lease ends then: no enqueuer writes a half, so a due run with such a
-- score is one whose worker never said how it ended.
local function leased_score(ends)
  return text(ends) .. '.5'
end

-- Append to a stream of ours; a key of another type in its place is none of ours to keep.
local function append(stream, limit, fields)
  if #fields == 0 then return end
  local function add(call)
    if limit == '' then return call('XADD', stream, '*', unpack(fields)) end
    return call('XADD', stream, 'MAXLEN', '~', limit, '*', unpack(fields))
  end
  local written = add(redis.pcall)
  if not failed(written) then return end
  if string.find(written.err, 'WRONGTYPE', 1, true) then redis.call('DEL', stream) end
  if string.find(written.err, 'last possible ID', 1, true) then -- somebody wrote under the last id
    if limit == '' then redis.call('RENAME', stream, stream .. ':' .. text(now)) else redis.call('DEL', stream) end
  end
  add(redis.call) -- raises under its own name what is wrong
end

-- Count in a hash of ours: how attempts ended ('<queue> <state>'), how many runs are being run
-- ('<queue> running').
local function count(queue, what, by)
  if by == 0 then return end
  if failed(redis.pcall('HINCRBY', 'deskhand:counts', name_of(queue) .. ' ' .. what, by)) then
    redis.call('DEL', 'deskhand:counts')
  end
end

-- What names the data here: a Redis that came back empty gets another name.
local function data_epoch(fresh)
  local epoch = redis.pcall('GET', 'deskhand:epoch')
  if not epoch or failed(epoch) or #epoch > 64 or string.find(epoch, '[^%w%-]') then -- none of ours
    redis.call('SET', 'deskhand:epoch', fresh)
    return fresh
  end
  return epoch
end
