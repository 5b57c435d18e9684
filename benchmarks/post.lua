-- wrk's side of a load: METHOD BODY_FILE MARK FIRST; every MARK in the body becomes the next number, beginning with FIRST.
local pieces, following = {}, 0

function init(args)
  wrk.method = args[1]
  local file = assert(io.open(args[2], "r"))
  local body = file:read("*a")
  file:close()
  local mark = args[3]
  following = tonumber(args[4])
  local from = 1
  while true do
    local at, to = string.find(body, mark, from, true)
    if not at then break end
    pieces[#pieces + 1] = string.sub(body, from, at - 1)
    from = to + 1
  end
  pieces[#pieces + 1] = string.sub(body, from)
end

function request()
  local parts = { pieces[1] }
  for i = 2, #pieces do
    parts[#parts + 1] = string.format("%d", following)
    following = following + 1
    parts[#parts + 1] = pieces[i]
  end
  return wrk.format(nil, nil, nil, table.concat(parts))
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format(
    'RESULT {"requests": %d, "failed": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
