-- Say from when on slots are given, unless someone already said. KEYS: epoch. ARGV: ms from now.
return redis.call('SET', KEYS[1], now + tonumber(ARGV[1]), 'NX')
