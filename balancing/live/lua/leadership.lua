-- Take or keep the leadership: one worker probes and learns limits for all.
-- KEYS: the lease. ARGV: the worker, lease ms. Replies 1 if the worker holds the lease now.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
