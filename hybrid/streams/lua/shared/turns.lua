-- turns: whose turn it is in a gate (see `admit`), and passing it on. Stands before the scripts that say `with turns`.

local turns = {}

-- the origin id of the message whose turn it is, nil when it is nobody's
function turns.owner(gate, place)
  local owner = redis.call('HGET', gate, place)
  return owner and owner:match('^(.*)%z')
end

-- the first that is held takes the turn, and goes to the component's own queue; with none it is nobody's
function turns.pass(gate, held, own, place)
  local member = redis.call('ZRANGEBYLEX', held, '[' .. place .. '\0', '(' .. place .. '\1', 'LIMIT', 0, 1)[1]
  if not member then
    redis.call('HDEL', gate, place)
    return
  end
  local origin, fields = unpack(cmsgpack.unpack(member:sub(member:find('\0', #place + 2, true) + 1)))
  redis.call('ZREM', held, member)
  redis.call('HSET', gate, place, origin .. '\0')
  redis.call('XADD', own, '*', unpack(fields))
end

-- passes on the turns of a channel's entries that are over
function turns.pass_all(gate, held, own, channel, is_over)
  local all = redis.call('HGETALL', gate)
  for i = 1, #all, 2 do
    local place, entry = all[i], all[i + 1]:match('([^%z]*)$')
    if entry ~= '' and place:sub(1, #channel + 1) == channel .. '|' and is_over(entry) then
      turns.pass(gate, held, own, place)
    end
  end
end

