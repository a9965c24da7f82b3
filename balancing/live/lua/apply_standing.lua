-- Store the standing that the ejection rule gave an endpoint, unless what the rule saw has changed.
-- So two workers neither eject an endpoint twice nor eject more of its peers than the rule allows.
--
-- KEYS: live of the endpoint, then of its peers. ARGV: ejections and ejected_until as the rule saw
-- them, how many peers it saw away, then the new failures, ejections, ejected_until, returned_at,
-- and what an ejection is due to. A call that is answered on trial also outweighs the probes: from
-- then on an HTTP error of a probe proves nothing, until a probe or a call says otherwise.
-- Replies {1}, or {0, ejections, ejected_until, peers away} as they are now.
local known = redis.call('HMGET', KEYS[1], 'ejections', 'ejected_until', 'returned_at', 'healthy')
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
    redis.call('HSET', KEYS[1], 'ejected_why', ARGV[8])
end
if tonumber(ARGV[7]) > tonumber(known[3] or 0) then
    redis.call('HSET', KEYS[1], 'failing_until', 0)
    if known[4] == '0' then
        redis.call('HSET', KEYS[1], 'healthy', 1, 'bad_probes', 0, 'probe_doubted', 1)
    end
end
return {1}
