-- This file stands before every script. `now` is Valkey's own time in milliseconds, because the
-- clocks of workers differ. A lease reads `<token>/<cost>`. When a set of slots loses a lease, the
-- endpoint's running cost is reduced by the lease's cost. So a dead worker's cost disappears
-- together with its leases.
local moment = redis.call('TIME')
local now = moment[1] * 1000 + math.floor(moment[2] / 1000)
local DAY, HOUR = 86400000, 3600000

local function cost_of(lease)
    return tonumber(string.match(lease, '/(%d+)$') or 0)
end

local function charge(live, cost)
    if cost ~= 0 then
        redis.call('HINCRBY', live, 'cost', cost)
        redis.call('PEXPIRE', live, DAY)
    end
end

local function expire(slots, live)
    local gone = redis.call('ZRANGEBYSCORE', slots, '-inf', now)
    if #gone > 0 then
        local cost = 0
        for _, lease in ipairs(gone) do cost = cost + cost_of(lease) end
        redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
        charge(live, -cost)
    end
end

local function hold(slots, live, milliseconds, lease)
    if redis.call('ZADD', slots, now + milliseconds, lease) == 1 then
        charge(live, cost_of(lease))
    end
    redis.call('PEXPIRE', slots, HOUR)
end
