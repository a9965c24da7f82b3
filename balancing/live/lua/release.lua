-- Free slots, and store in the same round trip what their calls say about the endpoints.
--
-- KEYS: slots and live of each call's endpoint. ARGV: cool-down ms, then six values for each call:
-- lease, outcome (1 answered, 0 says nothing, -1 failed, -2 busy), microseconds to the first token,
-- microseconds per token, output tokens, milliseconds of the call. 0: unknown.
-- Replies {now, then for each call whose outcome the ejection rule must judge: its place (from 0),
-- 1 or -1, failures, ejections, ejected_until, returned_at}.
--
-- Averages weigh a sample by the time since the previous one, as Finagle's peak EWMA does, and by
-- at least a twentieth, so that the samples of a burst count, too.
local SPAN, BEST_SPAN, LEAST = 10000, 600000, 0.05
local reply = {now}

local function weight(passed, span)
    return math.max(LEAST, 1 - math.exp(-math.max(0, passed) / span))
end

local function blend(old, sample, share)
    if not old or old <= 0 then return sample end
    return old + share * (sample - old)
end

local function seconds(value)
    return string.format('%.7f', value)
end

local function store_first_token(live, sample)
    local known = redis.call('HMGET', live, 'first_token', 'peak', 'first_token_at')
    local share = weight(now - tonumber(known[3] or 0), SPAN)
    local peak = tonumber(known[2] or 0)
    peak = sample >= peak and sample or blend(peak, sample, share)
    redis.call('HSET', live, 'first_token', seconds(blend(tonumber(known[1] or 0), sample, share)),
               'peak', seconds(peak), 'first_token_at', now)
end

local function store_token(live, sample)
    local known = redis.call('HMGET', live, 'token', 'best_token', 'token_at')
    local passed = now - tonumber(known[3] or now)
    local token = blend(tonumber(known[1] or 0), sample, weight(passed, SPAN))
    local best = tonumber(known[2] or 0)
    if best <= 0 or token < best then
        best = token
    else
        best = blend(best, token, 1 - math.exp(-math.max(0, passed) / BEST_SPAN))
    end
    redis.call('HSET', live, 'token', seconds(token), 'best_token', seconds(best), 'token_at', now)
end

-- For the limit: calls that began since it is in force, and all that ended.
local function count(live, since, tokens, milliseconds)
    redis.call('HINCRBY', live, 'work_ended', 1)
    if now - tonumber(milliseconds) < since then return end
    redis.call('HINCRBY', live, 'work_tokens', tokens)
    redis.call('HINCRBY', live, 'work_ms', milliseconds)
    redis.call('HINCRBY', live, 'work_calls', 1)
end

local function judge(live, place, outcome, tried)
    redis.call('HINCRBY', live, 'requests', 1)
    if outcome < 0 then
        redis.call('HINCRBY', live, 'errors', 1)
        redis.call('HSET', live, 'failing_until', now + tonumber(ARGV[1]))
    else
        redis.call('HSET', live, 'answered_at', now)
    end
    if outcome == -2 then return end
    local known = redis.call('HMGET', live, 'failures', 'ejections', 'ejected_until', 'returned_at')
    local failures, ejected_until = tonumber(known[1] or 0), tonumber(known[3] or 0)
    if ejected_until > 0 and not tried then return end
    if outcome == -1 then
        failures = failures + 1
        redis.call('HSET', live, 'failures', failures)
    elseif failures > 0 then
        redis.call('HSET', live, 'failures', 0)
        failures = 0
    end
    if outcome == -1 or tried then
        for _, value in ipairs({place, outcome, failures, tonumber(known[2] or 0), ejected_until,
                                tonumber(known[4] or 0)}) do
            reply[#reply + 1] = value
        end
    end
end

for i = 1, #KEYS, 2 do
    local slots, live, at = KEYS[i], KEYS[i + 1], 2 + (i - 1) / 2 * 6
    local lease, outcome = ARGV[at], tonumber(ARGV[at + 1])
    if redis.call('ZREM', slots, lease) == 1 then charge(live, -cost_of(lease)) end
    local known = redis.call('HMGET', live, 'trial', 'limit_since')
    local tried = known[1] == lease
    if tried then redis.call('HDEL', live, 'trial') end
    if outcome ~= 0 then judge(live, (i - 1) / 2, outcome, tried) end
    local first, token = tonumber(ARGV[at + 2]) / 1e6, tonumber(ARGV[at + 3]) / 1e6
    if first > 0 then store_first_token(live, first) end
    if token > 0 then store_token(live, token) end
    local since = tonumber(known[2] or 0)
    if since > 0 and ARGV[at + 5] ~= '0' then count(live, since, ARGV[at + 4], ARGV[at + 5]) end
    redis.call('PEXPIRE', live, DAY)
end
return reply
