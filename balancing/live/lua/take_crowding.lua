-- Take the samples of the time per token since the last call of this script, and count the slots
-- in use. KEYS: slots and live of each endpoint. Replies {now, then for each endpoint: slots in
-- use, sum of the samples, number of samples, limit, usual, learned_at}. Floats travel as text.
local reply = {now}
for i = 1, #KEYS, 2 do
    local slots, live = KEYS[i], KEYS[i + 1]
    expire(slots, live)
    local known = redis.call('HMGET', live, 'crowd_seconds', 'crowd_calls', 'limit', 'usual',
                             'learned_at')
    redis.call('HDEL', live, 'crowd_seconds', 'crowd_calls')
    reply[#reply + 1] = redis.call('ZCARD', slots)
    for n = 1, 5 do reply[#reply + 1] = known[n] or '0' end
end
return reply
