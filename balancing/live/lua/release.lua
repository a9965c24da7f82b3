-- Free slots, and store in the same round trip what their calls say about the endpoints.
--
-- KEYS: slots and live of each call's endpoint. ARGV: cool-down ms, then seven values for each call:
-- lease, outcome (1 answered, 0 says nothing, -1 failed, -2 busy, -3 its account is used up, -4 failed
-- perhaps because of the request, -5 a failure of -4 was not the request's), microseconds to the first
-- token, microseconds per token, output tokens, milliseconds of the call, and for how many ms the
-- endpoint asks to be left alone. 0: unknown.
-- Replies {now, then for each call whose outcome the ejection rule must judge: its place (from 0),
-- 1 or -1, failures, ejections, ejected_until, returned_at}.
--
-- Averages weigh a sample by the time since the previous one, as Finagle's peak EWMA does, and by
-- at least a twentieth, so that the samples of a burst count, too.
--
-- One request that makes every endpoint fail must not eject them for the others. So a failure that
-- may be the request's counts in full only when another endpoint has answered the same request (-5);
-- else so many of them without a success in between count as one.
local SPAN, BEST_SPAN, LEAST = 10000, 600000, 0.05
local DOUBTS = 20
-- An endpoint that is busy each time it is asked again is left alone for longer and longer.
local MOST_DOUBLINGS = 4
-- Longer than that only an ejection keeps work away, because a trial call ends it.
local MOST_AVOIDED = 120000
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

local function avoid(live, outcome, milliseconds)
    local before = tonumber(redis.call('HGET', live, 'failing_until') or 0)
    local least = tonumber(ARGV[1])
    if outcome == -2 and before <= now then
        local rounds = redis.call('HINCRBY', live, 'busy_rounds', 1)
        least = least * 2 ^ math.min(rounds - 1, MOST_DOUBLINGS)
    end
    local till = now + math.max(least, math.min(milliseconds, MOST_AVOIDED))
    if till > before then redis.call('HSET', live, 'failing_until', till) end
end

local function is_doubted(live)
    if redis.call('HINCRBY', live, 'doubts', 1) < DOUBTS then return true end
    redis.call('HSET', live, 'doubts', 0)
    return false
end

local function judge(live, place, outcome, tried, left_alone)
    if outcome ~= -5 then redis.call('HINCRBY', live, 'requests', 1) end
    if outcome > 0 then
        redis.call('HSET', live, 'answered_at', now)
    elseif outcome ~= -5 then
        redis.call('HINCRBY', live, 'errors', 1)
        avoid(live, outcome, left_alone)
    end
    if outcome == -2 then return end
    local known = redis.call('HMGET', live, 'failures', 'ejections', 'ejected_until', 'returned_at',
                             'doubts', 'busy_rounds')
    local failures, ejected_until = tonumber(known[1] or 0), tonumber(known[3] or 0)
    if ejected_until > 0 and not tried then return end
    if outcome == -4 and not tried and is_doubted(live) then return end
    if outcome < 0 then
        failures = failures + 1
        redis.call('HSET', live, 'failures', failures, 'probe_doubted', 0)
    elseif failures + tonumber(known[5] or 0) + tonumber(known[6] or 0) > 0 then
        redis.call('HSET', live, 'failures', 0, 'doubts', 0, 'busy_rounds', 0)
        failures = 0
    end
    if outcome < 0 or tried then
        for _, value in ipairs({place, outcome, failures, known[2] or 0, ejected_until,
                                known[4] or 0}) do
            reply[#reply + 1] = tonumber(value) or 0
        end
    end
end

local function take_in(i)
    local slots, live, at = KEYS[i], KEYS[i + 1], 2 + (i - 1) / 2 * 7
    local lease, outcome = ARGV[at], tonumber(ARGV[at + 1])
    if redis.call('ZREM', slots, lease) == 1 then charge(live, -cost_of(lease)) end
    local known = redis.call('HMGET', live, 'trial', 'limit_since')
    local tried = known[1] == lease
    if tried then redis.call('HDEL', live, 'trial') end
    if outcome ~= 0 then judge(live, (i - 1) / 2, outcome, tried, tonumber(ARGV[at + 6])) end
    local first, token = tonumber(ARGV[at + 2]) / 1e6, tonumber(ARGV[at + 3]) / 1e6
    if first > 0 then store_first_token(live, first) end
    if token > 0 then store_token(live, token) end
    local since = tonumber(known[2] or 0)
    if since > 0 and ARGV[at + 5] ~= '0' then count(live, since, ARGV[at + 4], ARGV[at + 5]) end
    redis.call('PEXPIRE', live, DAY)
end

-- An error would leave the calls behind it unfreed, and count those before it again and again.
-- What cannot be read of an endpoint is forgotten.
for i = 1, #KEYS, 2 do
    if not pcall(take_in, i) then redis.call('DEL', KEYS[i + 1]) end
end
return reply
