-- Where a run stands that is in its queue with this score: 'active', 'waiting' (it is due),
-- 'blocked' (it is due, and over a limit) or 'delayed'; and the score at which it is, or was, due.
local function standing(queue, id, score, payload)
  local at = tonumber(score)
  if exists('arq:in-progress:' .. id) then return 'active', score end
  if at <= now then return 'waiting', score end -- also one whose worker is gone
  if string.sub(score, -2) == '.5' then return 'active', score end
  payload = payload or ''
  if exists(turns_of(queue)) then
    local tenant = tenant_in(string.sub(payload, 1, shown)) or '-'
    local parked = redis.pcall('ZSCORE', lane_of(queue, tenant), id)
    if parked and not failed(parked) then return 'waiting', parked end
  end
  local limits = controls_of(payload)
  local came = limits and came_with(queue, id, limits)
  if came and tonumber(came) <= now then return 'blocked', came end
  return 'delayed', came or score
end

-- The queue that a run is in, and its score there.
local function queue_of(id)
  for number, queue in ipairs(KEYS) do
    local score = redis.pcall('ZSCORE', queue, id)
    if score and not failed(score) then return queue, score, number end
  end
end

local function payload_of(id)
  local payload = redis.pcall('GET', 'arq:job:' .. id)
  return payload and not failed(payload) and payload
end
