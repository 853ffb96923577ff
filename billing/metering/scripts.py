"""What Redis runs: each of these is judged and changed as one step.

What is kept, all of it rebuilt from the database when it is lost:

    quota:{user_…}  hash: run, lease, synced, block, hour_start, hour, left, day_start,
                    day, back, asked. `left` are granted calls that nobody has made
                    yet, `back` calls of the day that were granted and will not be
                    made. Grants are numbered: `synced` is the one that hour and day
                    were read with, `block` the last one of more than one call.
    slots:{user_…}  sorted set: reservation id by the moment (ms) its hold ends
    holds           hash: reservation id → lease|hour|day|admitted_at|what it is for
    holds:ends      sorted set: `user id|reservation id` by the moment its hold ends
    usage           stream: settled calls on their way into the database
    who:<digest>    hash: whom a credential resolved to, for a second at most
    who:generation  raised whenever something is taken from anybody

`run` names one life of one Redis process (its run id, and its replication id, which
changes with every failover). Counts of another life (an old snapshot, a replica that
lagged behind) are void. Moments are POSIX milliseconds; 0 asks Redis for its own.
"""

_SHARED = """
local function life()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
    .. string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

local function clock(given)
  local now = tonumber(given)
  if now > 0 then return now end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local FIELDS = {'run', 'lease', 'synced', 'hour_start', 'hour', 'left', 'day_start',
                'day', 'back', 'asked', 'block'}

local function read(user)
  local kept = redis.call('HMGET', 'quota:{' .. user .. '}', unpack(FIELDS))
  if kept[1] ~= life() then return nil end
  return {run = kept[1], lease = kept[2], synced = tonumber(kept[3]),
          hour_start = tonumber(kept[4]), hour = tonumber(kept[5]),
          left = tonumber(kept[6]), day_start = tonumber(kept[7]),
          day = tonumber(kept[8]), back = tonumber(kept[9]), asked = tonumber(kept[10]),
          block = tonumber(kept[11])}
end

local function write(user, q)
  local key = 'quota:{' .. user .. '}'
  redis.call('HSET', key, 'run', q.run, 'lease', q.lease, 'synced', q.synced,
    'block', q.block, 'hour_start', q.hour_start, 'hour', q.hour, 'left', q.left,
    'day_start', q.day_start, 'day', q.day, 'back', q.back, 'asked', q.asked)
  redis.call('EXPIRE', key, 172800)
end

-- A clock that runs behind never opens a window again that another has closed.
local function roll(q, now)
  local hour_start, day_start = now - now % 3600000, now - now % 86400000
  if hour_start <= q.hour_start then return end
  if day_start > q.day_start then
    q.day_start, q.day, q.back = day_start, 0, 0
  else
    q.back = q.back + q.left
  end
  q.hour_start, q.hour, q.left, q.synced = hour_start, 0, 0, -1
end

local function used(q)
  return q.hour - q.left, q.day - q.left - q.back
end

local function slots(user, now)
  local key = 'slots:{' .. user .. '}'
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
end

local function answer(verdict, user, q, now, n_slots)
  local hour, day = used(q)
  return {verdict, math.max(now, q.hour_start), hour, day, n_slots, q.lease, q.left, 0,
          q.block}
end

local function hold(user, q, now, id, ends, meta)
  local key = 'slots:{' .. user .. '}'
  redis.call('ZADD', key, ends, id)
  redis.call('EXPIRE', key, 172800)
  redis.call('ZADD', 'holds:ends', ends, user .. '|' .. id)
  redis.call('HSET', 'holds', id, table.concat(
    {q.lease, q.hour_start, q.day_start, math.max(now, q.hour_start), meta}, '|'))
end

local REFUSED, TAKEN, ASK, STALE = 0, 1, 2, 3

-- c: id, hold_ms, meta, hour, day, slots (limits), fresh (a lease if there is none)
local function take(user, now, c)
  local q = read(user)
  if not q then
    q = {run = life(), lease = c.fresh, synced = -1, block = 0,
         hour_start = now - now % 3600000,
         hour = 0, left = 0, day_start = now - now % 86400000, day = 0, back = 0,
         asked = now}
  end
  roll(q, now)
  local n_slots = slots(user, now)
  -- A client library may send a call again whose answer got lost.
  if redis.call('ZSCORE', 'slots:{' .. user .. '}', c.id) then
    return answer(TAKEN, user, q, now, n_slots)
  end
  local hour, day = used(q)
  local is_full = hour >= c.hour or day >= c.day
  if n_slots >= c.slots or (is_full and now - q.asked < c.confirm) then
    return answer(REFUSED, user, q, now, n_slots)
  end
  if is_full or q.left < 1 then
    if is_full then q.asked = now end
    local told = answer(ASK, user, q, now, n_slots)
    told[8], q.back = q.back, 0
    write(user, q)
    return told
  end
  q.left = q.left - 1
  write(user, q)
  hold(user, q, now, c.id, now + c.hold_ms, c.meta)
  return answer(TAKEN, user, q, now, n_slots + 1)
end
"""

# now, user, id, hold_ms, meta, hour, day, slots, fresh lease, confirm_ms
TAKE = (
    _SHARED
    + """
return take(ARGV[2], clock(ARGV[1]), {
  id = ARGV[3], hold_ms = tonumber(ARGV[4]), meta = ARGV[5], hour = tonumber(ARGV[6]),
  day = tonumber(ARGV[7]), slots = tonumber(ARGV[8]), fresh = ARGV[9],
  confirm = tonumber(ARGV[10])})
"""
)

# now, user, lease, number, hour_start, hour, day_start, day, granted calls, slot
# limit, id, hold_ms, meta, number of the last block, then pairs of ends_ms, id of the
# database's holds
PUT = (
    _SHARED
    + """
local user, now = ARGV[2], clock(ARGV[1])
local q = read(user)
if not q or q.lease ~= ARGV[3] then return {STALE, now, 0, 0, 0, '', 0, 0, 0} end
local hour_start, n = tonumber(ARGV[5]), tonumber(ARGV[9])
roll(q, hour_start)
if hour_start < q.hour_start then
  if tonumber(ARGV[7]) == q.day_start then q.back = q.back + n end
  write(user, q)
  return {STALE, now, 0, 0, 0, '', 0, 0, 0}
end
local number, block = tonumber(ARGV[4]), tonumber(ARGV[14])
q.left = q.left + n
if number == block then q.block = block end
-- Counts that hold a block which is still on its way would look full too soon.
local is_whole = n == 0 or q.synced < 0 or number == block
if q.block == block and number > q.synced and is_whole then
  q.synced, q.hour, q.day = number, tonumber(ARGV[6]), tonumber(ARGV[8])
elseif number > q.synced then
  q.hour, q.day = q.hour + n, q.day + n
end
q.asked = now
for i = 15, #ARGV, 2 do
  redis.call('ZADD', 'slots:{' .. user .. '}', ARGV[i], ARGV[i + 1])
end
local n_slots = slots(user, now)
if q.left < 1 or n_slots >= tonumber(ARGV[10]) then
  write(user, q)
  return answer(REFUSED, user, q, now, n_slots)
end
q.left = q.left - 1
write(user, q)
hold(user, q, now, ARGV[11], now + tonumber(ARGV[12]), ARGV[13])
return answer(TAKEN, user, q, now, n_slots + 1)
"""
)

# user, id, the settled call ("": the database has it already)
SETTLE = """
local had = redis.call('HDEL', 'holds', ARGV[2])
redis.call('ZREM', 'holds:ends', ARGV[1] .. '|' .. ARGV[2])
redis.call('ZREM', 'slots:{' .. ARGV[1] .. '}', ARGV[2])
if ARGV[3] == '' then return {had, ''} end
return {had, redis.call('XADD', 'usage', '*', 'call', ARGV[3])}
"""

# user, id
RELEASE = (
    _SHARED
    + """
local kept = redis.call('HGET', 'holds', ARGV[2])
redis.call('HDEL', 'holds', ARGV[2])
redis.call('ZREM', 'holds:ends', ARGV[1] .. '|' .. ARGV[2])
redis.call('ZREM', 'slots:{' .. ARGV[1] .. '}', ARGV[2])
if not kept then return 0 end
local lease, hour, day = string.match(kept, '^([^|]*)|(%d+)|(%d+)|')
local q = read(ARGV[1])
if q and q.lease == lease then
  if q.hour_start == tonumber(hour) then q.left = q.left + 1
  elseif q.day_start == tonumber(day) then q.back = q.back + 1 end
  write(ARGV[1], q)
end
return 1
"""
)

# now, user, then ids of the database's holds
PEEK = (
    _SHARED
    + """
local user, now = ARGV[2], clock(ARGV[1])
local key = 'slots:{' .. user .. '}'
local n_slots = redis.call('ZCOUNT', key, '(' .. now, '+inf')
for i = 3, #ARGV do
  if not redis.call('ZSCORE', key, ARGV[i]) then n_slots = n_slots + 1 end
end
local q = read(user)
if not q then return {'', 0, 0, 0, 0, n_slots} end
return {q.lease, q.left, q.back, q.hour_start, q.day_start, n_slots}
"""
)

# user
FORGET = """
local key = 'slots:{' .. ARGV[1] .. '}'
for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  redis.call('HDEL', 'holds', id)
  redis.call('ZREM', 'holds:ends', ARGV[1] .. '|' .. id)
end
return redis.call('DEL', key, 'quota:{' .. ARGV[1] .. '}')
"""

# now, digest, id, hold_ms, end of meta, confirm_ms, scope, feature ("": any tier),
# enforced; then, after a miss: until_ms, generation, user, hour, day, slots, scopes,
# features, start of meta, whom it all belongs to
ENTER = (
    _SHARED
    + """
local who = 'who:' .. ARGV[2]
local real = clock('0')
local generation = redis.call('GET', 'who:generation') or '0'
if ARGV[10] and tonumber(ARGV[10]) > real and ARGV[11] == generation then
  redis.call('HSET', who, 'until', ARGV[10], 'generation', generation, 'user', ARGV[12],
    'hour', ARGV[13], 'day', ARGV[14], 'slots', ARGV[15], 'scopes', ARGV[16],
    'features', ARGV[17], 'meta', ARGV[18], 'body', ARGV[19])
  redis.call('PEXPIREAT', who, ARGV[10])
end
local kept = redis.call('HMGET', who, 'until', 'generation', 'user', 'hour', 'day',
                        'slots', 'scopes', 'features', 'meta', 'body')
-- An expired key may still be here: Redis was frozen, or restarted from a file.
if not kept[1] or tonumber(kept[1]) <= real or kept[2] ~= generation then
  return {4, real, generation}
end
if not string.find(kept[7], ' ' .. ARGV[7] .. ' ', 1, true) then
  return {5, real, kept[10]}
end
if ARGV[8] ~= '' and not string.find(kept[8], ' ' .. ARGV[8] .. ' ', 1, true) then
  return {6, real, kept[10]}
end
local most = nil
if ARGV[9] == '0' then most = 1000000000 end
local told = take(kept[3], clock(ARGV[1]), {
  id = ARGV[3], hold_ms = tonumber(ARGV[4]), meta = kept[9] .. ARGV[5],
  confirm = tonumber(ARGV[6]), fresh = ARGV[3], hour = most or tonumber(kept[4]),
  day = most or tonumber(kept[5]), slots = most or tonumber(kept[6])})
told[10] = kept[10]
return told
"""
)

# user: take back what was granted and is not spent
RECALL = (
    _SHARED
    + """
local q = read(ARGV[1])
if not q then return {'', 0, 0, 0, 0, 0} end
local told = {q.lease, q.left, q.back, q.hour_start, q.day_start, 0}
q.hour, q.day = q.hour - q.left, q.day - q.left - q.back
q.left, q.back = 0, 0
write(ARGV[1], q)
return told
"""
)
