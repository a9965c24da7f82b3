-- Reserve slots: hold them for a moment, until leases take their place.
-- KEYS: epoch, then slots and live of each endpoint.
-- ARGV: token, wanted slots, reservation ms, then the most slots of each endpoint.
-- Replies {-1} if the epoch is missing (Valkey lost its memory), {0, ms} in the quiet period in
-- which running calls register again, else {1, now, then for each endpoint: used, room, reserved,
-- cost, on trial}.
--
-- An ejected endpoint has no room. When its time out is over, it gets one call at a time: its
-- trial. The field `trial` names the lease of this call, and counts as long as the lease exists.
local ready = redis.call('GET', KEYS[1])
if not ready then return {-1} end
if tonumber(ready) > now then return {0, tonumber(ready) - now} end
local reply = {1, now}
for i = 2, #KEYS, 2 do
    local slots, live = KEYS[i], KEYS[i + 1]
    expire(slots, live)
    local used = redis.call('ZCARD', slots)
    local most = tonumber(ARGV[3 + i / 2])
    local known = redis.call('HMGET', live, 'ejected_until', 'trial', 'cost')
    local ejected_until = tonumber(known[1] or 0)
    local room, on_trial = math.max(0, most - used), 0
    if ejected_until > now then
        room = 0
    elseif ejected_until > 0 then
        on_trial, room = 1, math.min(1, most)
        if known[2] and redis.call('ZSCORE', slots, known[2]) then room = 0 end
    end
    local take = math.min(tonumber(ARGV[2]), room)
    for n = 1, take do
        redis.call('ZADD', slots, now + tonumber(ARGV[3]), ARGV[1] .. ':' .. n)
    end
    if take > 0 then
        redis.call('PEXPIRE', slots, HOUR)
        if on_trial == 1 then redis.call('HSET', live, 'trial', ARGV[1] .. ':1') end
    end
    local cost = tonumber(known[3] or 0)
    if used == 0 and cost ~= 0 then
        -- Without slots there is no cost: Valkey lost the set without the hash.
        redis.call('HSET', live, 'cost', 0)
        cost = 0
    end
    for _, value in ipairs({used, room, take, cost, on_trial}) do reply[#reply + 1] = value end
end
return reply
