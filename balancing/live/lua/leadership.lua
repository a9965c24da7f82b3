-- One worker at a time does what one is enough for. KEYS: the lease. ARGV: who, lease ms.
-- Replies 1 when the lease is theirs.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
