-- Claiming due runs of one queue.
--
-- A claim is `arq:in-progress:<id>` = token (stock workers and `Job.status()` look there) and the
-- score moved to the lease's end: the run leaves the head of the queue, still counts as queued for
-- `Job.result()`, and comes due by itself when its worker is gone.
local page_limit, furthest, most_bytes = 64, 2000, 4194304

local function prefixed(prefix, ids)
  local keys = {}
  for position, id in ipairs(ids) do keys[position] = prefix .. id end
  return keys
end

-- Lock up to `free` of the due ids; those locked by others are counted as skipped.
local function lock(due, free, token, lease)
  local ids, scores, skipped = {}, {}, 0
  for position = 1, #due, 2 do
    if #ids == free then break end
    local id = due[position]
    local locked = redis.pcall('SET', 'arq:in-progress:' .. id, token, 'NX', 'PX', lease)
    if locked and not failed(locked) then
      ids[#ids + 1], scores[#scores + 1] = id, due[position + 1]
    else
      skipped = skipped + 1 -- somebody else's, with its score still here (a stock worker's)
    end
  end
  return ids, scores, skipped
end

-- Set a locked run aside, and say why.
local function reject(queue, id, why)
  if why then
    append('deskhand:rejected', '1000', { 'queue', name_of(queue), 'run', id, 'why', why })
  end
  redis.call('ZREM', queue, id)
  redis.pcall('ZREM', 'arq:abort', id)
  redis.call('DEL', 'arq:in-progress:' .. id)
end

-- A locked id without a payload: is there a run to speak of?
local function is_run(queue, id)
  local kind = redis.call('TYPE', 'arq:job:' .. id).ok
  if kind == 'none' and not exists('arq:result:' .. id) then return true end
  -- Else a finished id that a stock abort() put back.
  reject(queue, id, kind ~= 'none' and 'its payload is a ' .. kind)
  return false
end

-- How often a run's worker was lost, with this time: the count is the last digit of a score whose
-- rest is the instant, so that old ones can be swept away by their scores.
local function count_crash(id)
  local before = redis.pcall('ZSCORE', 'deskhand:crashed', id)
  local crashes = 1
  if failed(before) then
    redis.call('DEL', 'deskhand:crashed')
  elseif before then
    local last = tonumber(before) % 10
    if last ~= last then last = 0 end -- of a foreign inf: not a number
    crashes = math.min(math.floor(last) + 1, 9)
  end
  redis.call('ZADD', 'deskhand:crashed', text(now * 10 + crashes), id)
  return crashes
end

-- Scores of these ids, or nothing when the sorted set does not exist (which is the rule).
local function scores_of(key, ids)
  local scores = exists(key) and redis.pcall('ZMSCORE', key, unpack(ids))
  if not scores or failed(scores) then return {} end
  return scores
end

-- Do the headers say that it was not to be started after so long?
local function is_late(payload)
  local headers = string.match(string.sub(payload, 1, 8192), '^(.-)},"t":') or ''
  local latest = tonumber(string.match(headers, '"expires":"(%d+)"'))
  return latest and latest < now
end

-- The score that a locked run with words came with, or nothing when it may not start now.
local function may_start(queue, id, score, payload, is_aborted)
  local limits = controls_of(payload)
  if #limits == 0 then return score end
  -- What came too late is not to start. A stock abort gives a run that waits the score 1, and says
  -- why a moment later.
  if is_aborted or score == '1' or (is_late(payload) and not exists('arq:retry:' .. id)) then
    quit(queue, id, limits)
    return score
  end
  return admit(queue, id, score, limits)
end

-- Take locked ids into `taken`; returns how many were not taken: no runs, or over a limit.
local function take(index, queue, ids, scores, ends, taken, events, owner)
  local payloads = redis.call('MGET', unpack(prefixed('arq:job:', ids)))
  local spent = redis.call('MGET', unpack(prefixed('arq:retry:', ids)))
  local aborted, unknown = scores_of('arq:abort', ids), scores_of('deskhand:unknown', ids)
  local leases, active, fresh, score = {}, {}, 0, leased_score(ends)
  for position, id in ipairs(ids) do
    local payload, came = payloads[position], scores[position]
    if payload and string.sub(payload, 1, #words_mark) == words_mark then
      local is_sane, score_or_why = pcall(may_start, queue, id, came, payload, aborted[position])
      came = is_sane and score_or_why
      if not is_sane then reject(queue, id, 'its words cannot be read') end
    end
    if came and (payload or is_run(queue, id)) then
      local at = #taken.ids + 1
      taken.queues[at], taken.ids[at], taken.payloads[at] = index, id, payload
      taken.scores[at], taken.spent[at] = came, spent[position]
      if payload then
        taken.bytes = taken.bytes + #payload
        -- Started in time: from here on a stock pool's payload outlives any wait. Ours has no end,
        -- and begins with its headers.
        if string.sub(payload, 1, 5) ~= '{"h":' then redis.call('PERSIST', 'arq:job:' .. id) end
      end
      if aborted[position] then table.insert(taken.extras, { at, 'aborted', aborted[position] }) end
      if unknown[position] then table.insert(taken.extras, { at, 'unknown', unknown[position] }) end
      if string.sub(came, -2) == '.5' then
        local crashes = count_crash(id)
        table.insert(taken.extras, { at, 'crashes', crashes })
        events[#events + 1] = '!' .. id
        events[#events + 1] = name_of(queue) .. '\n' .. crashes
      else
        fresh = fresh + 1
      end
      active[#active + 1] = id
      leases[#leases + 1] = score
      leases[#leases + 1] = id
    end
  end
  if #active > 0 then
    redis.call('ZADD', queue, 'XX', unpack(leases))
    count(queue, 'running', fresh)
    events[#events + 1] = '>' .. name_of(queue) .. '\n' .. owner .. '\n' .. #taken.ids
    events[#events + 1] = table.concat(active, '\n')
  end
  return #ids - #active
end

-- Claim up to `free` runs of one queue; returns whether there is more to look at than one call does.
local function claim(index, queue, free, token, lease, taken, events, owner, any_turns)
  local seen, skipped, turns = 0, 0, turns_of(queue)
  local ends, now_text, first = now + tonumber(lease), text(now), #taken.ids + 1
  local has_turns = any_turns and exists(turns)
  while free > 0 and seen < furthest and taken.bytes < most_bytes do
    local page = skipped == 0 and math.min(free, page_limit) or page_limit
    local due = redis.pcall(
      'ZRANGEBYSCORE', queue, '-inf', now_text, 'WITHSCORES', 'LIMIT', skipped, page)
    if failed(due) then return false end
    if #due == 0 then break end
    seen = seen + #due / 2
    local ids, scores, others = lock(due, free, token, lease)
    skipped = skipped + others
    if #ids > 0 then
      free = free - #ids + take(index, queue, ids, scores, ends, taken, events, owner)
    end
    local moved_up = has_turns and next_turns(queue, turns, ids, free)
    if #due < 2 * page and not moved_up then break end
  end
  if free > 0 then
    if has_turns then mend_turns(queue, turns) end
    return seen >= furthest and skipped < seen -- else all of it is somebody else's
  end
  if not has_turns then
    local sample = #taken.ids >= first and taken.payloads[#taken.ids]
    has_turns = sample and tenant_in(string.sub(sample, 1, shown))
  end
  return has_turns and sort(queue)
end
