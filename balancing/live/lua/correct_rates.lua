-- Correct what was counted at endpoints with rate limits.
-- KEYS: for each correction the endpoint's hash. ARGV: for each correction its second, and the
-- requests and tokens to add. A second that has left the window needs no refund. Tokens that become
-- known after that are counted in the present second.
local this_second = math.floor(now / 1000)
for i, key in ipairs(KEYS) do
    local second, requests, tokens = tonumber(ARGV[3 * i - 2]), ARGV[3 * i - 1], ARGV[3 * i]
    local inside = this_second - second <= 60
    if inside and tonumber(requests) ~= 0 then
        redis.call('HINCRBY', key, 'r' .. second, requests)
    end
    if tonumber(tokens) > 0 or (inside and tonumber(tokens) < 0) then
        redis.call('HINCRBY', key, 't' .. (inside and second or this_second), tokens)
    end
    redis.call('PEXPIRE', key, 120000)
end
return 1
