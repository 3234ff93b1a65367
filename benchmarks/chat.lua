-- One chat request, with the API keys of a file in turn; prints what wrk measured as one line of JSON.
-- wrk … -s chat.lua URL -- KEYS_FILE BODY_FILE

local keys, body, turn = {}, "", 0

function init(args)
  for line in io.lines(args[1]) do keys[#keys + 1] = line end
  local file = assert(io.open(args[2], "rb"))
  body = file:read("*a")
  file:close()
  for at, key in ipairs(keys) do
    -- the number keeps Lua from storing requests with the same key as one string, which would be cheaper to send
    local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. key, ["X-Bench"] = at }
    keys[at] = wrk.format("POST", "/v1/chat/completions", headers, body)
  end
end

function request()
  turn = turn % #keys + 1
  return keys[turn]
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"bytes":%d,"refused":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, summary.bytes, summary.errors.status, failed,
    latency:percentile(50), latency:percentile(99)))
end
