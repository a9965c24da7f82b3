-- KEYS: slots and live of each endpoint. ARGV: token, reserved slots at the most, lease ms, then
-- each endpoint's leases, separated by commas.
-- A reservation that expired meanwhile is no obstacle: the excess lasts one call, and reservations
-- outlive any healthy claim a thousand times. A trial's reservation hands the trial to its lease.
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
