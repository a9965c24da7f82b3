-- Take what calls have done since the last call of this script, and count the slots in use. KEYS:
-- slots and live of each endpoint. Replies {now, then for each endpoint: slots in use, calls that
-- ended; of those that began since the limit is in force, tokens, ms and calls; limit,
-- limit_since}.
local reply = {now}
for i = 1, #KEYS, 2 do
    local slots, live = KEYS[i], KEYS[i + 1]
    expire(slots, live)
    local known = redis.call('HMGET', live, 'work_ended', 'work_tokens', 'work_ms', 'work_calls',
                             'limit', 'limit_since')
    redis.call('HDEL', live, 'work_ended', 'work_tokens', 'work_ms', 'work_calls')
    reply[#reply + 1] = redis.call('ZCARD', slots)
    for n = 1, 6 do reply[#reply + 1] = math.floor(tonumber(known[n] or 0)) end
end
return reply
