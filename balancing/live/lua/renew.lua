-- Keep leases for another lease time.
-- KEYS: epoch, one endpoint's slots and live. ARGV: lease ms, then leases.
-- A lease that is not in the set was released and stays so. In the quiet period after Valkey lost
-- its memory it is stored again instead: its call still runs.
local ready = redis.call('GET', KEYS[1])
local is_quiet = not ready or tonumber(ready) > now
for i = 2, #ARGV do
    if is_quiet then
        hold(KEYS[2], KEYS[3], tonumber(ARGV[1]), ARGV[i])
    else
        redis.call('ZADD', KEYS[2], 'XX', now + tonumber(ARGV[1]), ARGV[i])
    end
end
redis.call('PEXPIRE', KEYS[2], HOUR)
return 1
