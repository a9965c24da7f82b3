-- Count requests at endpoints with rate limits, as far as the limits allow.
-- KEYS: the hash of each endpoint. ARGV: wanted requests, then requests and tokens per minute of
-- each endpoint, -1 for no limit. Replies {second, left_1, taken_1, left_2, taken_2, ...} in
-- requests. If no token is left, no request is left.
local second = math.floor(now / 1000)

-- Sums this second and the sixty before it, so that the window is never shorter than a minute.
local function window(key)
    local requests, tokens, old = 0, 0, {}
    local counted = redis.call('HGETALL', key)
    for i = 1, #counted, 2 do
        local kind, at = string.match(counted[i], '^(%a)(%d+)$')
        if second - tonumber(at) > 60 then
            old[#old + 1] = counted[i]
        elseif kind == 'r' then
            requests = requests + counted[i + 1]
        else
            tokens = tokens + counted[i + 1]
        end
    end
    if #old > 0 then redis.call('HDEL', key, unpack(old)) end
    return requests, tokens
end

local wanted, reply = tonumber(ARGV[1]), {second}
for i, key in ipairs(KEYS) do
    local requests, tokens = window(key)
    local most_requests, most_tokens = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local left = 1000000
    if most_requests >= 0 then left = math.max(0, most_requests - requests) end
    if most_tokens >= 0 and tokens >= most_tokens then left = 0 end
    local taken = math.min(wanted, left)
    if taken > 0 and most_requests >= 0 then
        redis.call('HINCRBY', key, 'r' .. second, taken)
        redis.call('PEXPIRE', key, 120000)
    end
    reply[#reply + 1] = left
    reply[#reply + 1] = taken
end
return reply
