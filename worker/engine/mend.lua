-- See that the first of these lines comes due: it may have lost its payload, or been taken by a
-- worker that knows no lines.
-- ARGV  lines
-- Returns how many were mended.
local mended = 0
for _, line in ipairs(ARGV) do
  local first, score = front(line)
  if first and score > now + rest * 2 then
    local queue, id = of_member(first)
    local came = instant(redis.call('ZSCORE', line, first))
    redis.call('ZADD', queue, 'XX', text(math.max(came, now)), id)
    if came < now then mended = mended + 1 end
  end
end
return mended
