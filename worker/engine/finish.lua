-- Ending attempts, if they are still this worker's to end.
local is_over = { succeeded = true, cancelled = true, dead = true, expired = true }

-- May whoever holds `token` end this run? `leased` is the lease's end as the worker knows it, ''
-- when Redis has lost its data since the claim. Returns also whether Redis knows that it is run.
local function is_ours(holder, queue, id, token, leased, was_emptied)
  if holder then return holder == token, true end
  -- A lock that ran out does no harm as long as nobody else had the run since: another worker's
  -- claim, end or retry, a stock one's too, moves or removes the score that is this lease's end.
  local score = redis.pcall('ZSCORE', queue, id)
  if score then return score == leased .. '.5', true end
  -- A Redis that came back empty knows nothing of the run: its end is still news.
  local is_news = (was_emptied or leased == '')
    and redis.call('EXISTS', 'arq:job:' .. id, 'arq:result:' .. id) == 0
  return is_news, false
end

-- `at` is a wait in ms; of a run that was read for its words the score that it had.
local function put_back(queue, id, state, at, spent, payload, kept, head_start)
  local is_read = state == 'read'
  local due = is_read and at or now + at
  local wait = math.max(due - now, 0)
  if is_read then line_up(queue, id, controls_of(payload) or {}, text(due - head_start)) end
  redis.call('ZADD', queue, text(wait > 0 and due or due - head_start), id)
  put_off(queue, id, due, head_start)
  if is_read or redis.call('PTTL', 'arq:job:' .. id) == -2 then
    redis.call('SET', 'arq:job:' .. id, payload)
  else
    redis.call('PERSIST', 'arq:job:' .. id)
  end
  -- Attempts that are over, also none; a stock worker that takes the run counts on from here.
  redis.call('SET', 'arq:retry:' .. id, spent, 'EX', kept + math.ceil(wait / 1000))
  if state == 'unknown' then
    redis.pcall('ZADD', 'deskhand:unknown', 'NX', text(now), id)
  elseif exists('deskhand:unknown') then
    redis.pcall('ZREM', 'deskhand:unknown', id) -- its worker knew the job: the grace begins anew
  end
end

-- What is known of runs beside their own keys; hardly ever anything.
local function forget(ids)
  for _, key in ipairs({ 'arq:abort', 'deskhand:unknown', 'deskhand:crashed' }) do
    if exists(key) then redis.pcall('ZREM', key, unpack(ids)) end
  end
end

-- Each attempt is 9 arguments from `first` on: state, queue's number, run id, token, lease's end,
-- record, dead letter, then for a run that is over: result and its life in ms; for one that comes
-- back: the wait in ms, attempts that are over and its payload, joined by a space. `words` has the
-- heads of those payloads that have words, and for how long their keys shall rest, by number.
-- Returns a '1' or '0' for each (its lease was lost, and nothing was written), adds to `events`.
local function finish(first, number_of_ends, was_emptied, kept, events, words)
  local locks, verdicts, gone, left, letters = {}, {}, {}, {}, {}
  if number_of_ends == 0 then return '' end
  for number = 1, number_of_ends do
    locks[number] = 'arq:in-progress:' .. ARGV[first + number * 9 - 7]
  end
  local holders = redis.call('MGET', unpack(locks))
  for number = 1, number_of_ends do
    local at = first + number * 9 - 9
    local state, index, id, token, leased, record, letter, a, b = unpack(ARGV, at, at + 8)
    local queue = KEYS[tonumber(index)]
    local is_taken, is_known =
      is_ours(holders[number], queue, id, token, leased, was_emptied)
    if is_taken then
      local here = left[queue]
      if not here then
        here = { over = {}, ended = 0, states = {} }
        left[queue] = here
      end
      gone[#gone + 1] = locks[number]
      local said, head_start = words[number], 0
      if said then
        local limits
        limits, head_start = controls_of(said.head)
        release(queue, id, limits or {}, is_over[state])
        if said.rest > 0 then hold(limits or {}, said.rest) end
      end
      if is_over[state] then
        if a ~= '' and b ~= '0' then redis.call('PSETEX', 'arq:result:' .. id, b, a) end
        gone[#gone + 1] = 'arq:job:' .. id
        gone[#gone + 1] = 'arq:retry:' .. id
        here.over[#here.over + 1] = id
      else
        local spent, payload = string.match(b, '^(%d+) (.*)$')
        put_back(queue, id, state, tonumber(a), spent, payload, kept, head_start)
      end
      if is_known then here.ended = here.ended + 1 end
      if record ~= '' then
        here.states[state] = (here.states[state] or 0) + 1
        events[#events + 1] = '=' .. id
        events[#events + 1] = record
      end
      if letter ~= '' then letters[#letters + 1] = letter end
      verdicts[number] = '1'
    else
      verdicts[number] = '0'
    end
  end
  -- Not before: what raises above is sent again, and must not be told twice.
  for _, letter in ipairs(letters) do append('deskhand:dead', '', { 'd', letter }) end
  if #gone > 0 then redis.call('DEL', unpack(gone)) end
  for queue, here in pairs(left) do
    if #here.over > 0 then
      redis.pcall('ZREM', queue, unpack(here.over))
      forget(here.over)
      local turns = turns_of(queue)
      if exists(turns) then next_turns(queue, turns, here.over, 1) end
    end
    for state, times in pairs(here.states) do count(queue, state, times) end
    count(queue, 'running', -here.ended)
  end
  return table.concat(verdicts)
end
