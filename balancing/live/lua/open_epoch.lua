-- Say when slots will be given, unless another worker has said so already.
-- KEYS: epoch. ARGV: ms from now.
return redis.call('SET', KEYS[1], now + tonumber(ARGV[1]), 'NX')
