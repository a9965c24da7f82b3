-- Store what the ejection rule made of an endpoint, if it still stands as the rule saw it.
--
-- KEYS: live of the endpoint, then of the others of its pool. ARGV: ejections and ejected_until as
-- seen, how many of the others were seen away, then failures, ejections, ejected_until, returned_at.
-- Replies {1}, or {0, ejections, ejected_until, others away} as they are now. So two workers never
-- eject one endpoint twice, nor together more of a pool than the rule allows.
local known = redis.call('HMGET', KEYS[1], 'ejections', 'ejected_until')
local ejections, ejected_until = tonumber(known[1] or 0), tonumber(known[2] or 0)
local away = 0
for i = 2, #KEYS do
    if tonumber(redis.call('HGET', KEYS[i], 'ejected_until') or 0) > 0 then away = away + 1 end
end
if ejections ~= tonumber(ARGV[1]) or ejected_until ~= tonumber(ARGV[2])
   or away ~= tonumber(ARGV[3]) then
    return {0, ejections, ejected_until, away}
end
redis.call('HSET', KEYS[1], 'failures', ARGV[4], 'ejections', ARGV[5], 'ejected_until', ARGV[6],
           'returned_at', ARGV[7])
redis.call('PEXPIRE', KEYS[1], DAY)
if tonumber(ARGV[6]) > ejected_until then
    redis.call('HINCRBY', KEYS[1], 'ejected_times', 1)
end
return {1}
