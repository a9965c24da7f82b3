-- KEYS: epoch, one endpoint's slots and live. ARGV: lease ms, then leases. Leases that are gone
-- were released and stay so, except before slots are given again: then a Valkey that lost its
-- memory learns them anew.
local ready = redis.call('GET', KEYS[1])
local learning = not ready or tonumber(ready) > now
for i = 2, #ARGV do
    if learning then
        hold(KEYS[2], KEYS[3], tonumber(ARGV[1]), ARGV[i])
    else
        redis.call('ZADD', KEYS[2], 'XX', now + tonumber(ARGV[1]), ARGV[i])
    end
end
redis.call('PEXPIRE', KEYS[2], HOUR)
return 1
