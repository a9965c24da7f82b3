-- Read live state. KEYS: live of each endpoint. ARGV: field names. Replies {now, values, ...}.
local reply = {now}
for i = 1, #KEYS do
    reply[#reply + 1] = redis.call('HMGET', KEYS[i], unpack(ARGV))
end
return reply
