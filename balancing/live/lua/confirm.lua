-- Replace the reserved slots of a token by leases, and free the rest.
-- KEYS: slots and live of each endpoint. ARGV: token, the most slots reserved at an endpoint, lease
-- ms, then the leases of each endpoint, separated by commas.
-- The leases are stored even if the reservation has expired. The endpoint is then above its limit
-- for one call; reservations last a thousand times longer than a claim takes. If the reservation
-- was for a trial, the first lease becomes the trial.
for i = 1, #KEYS, 2 do
    local slots, live = KEYS[i], KEYS[i + 1]
    local leases = ARGV[4 + (i - 1) / 2]
    for n = 1, tonumber(ARGV[2]) do
        if redis.call('ZREM', slots, ARGV[1] .. ':' .. n) == 0 then break end
    end
    if redis.call('HGET', live, 'trial') == ARGV[1] .. ':1' then
        local first = string.match(leases, '[^,]+')
        if first then redis.call('HSET', live, 'trial', first) else redis.call('HDEL', live, 'trial') end
    end
    for lease in string.gmatch(leases, '[^,]+') do
        hold(slots, live, tonumber(ARGV[3]), lease)
    end
end
return 1
