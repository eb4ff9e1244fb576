-- wrk's script: sends prepared requests and prints what wrk measured as one line of JSON.
--
-- usage: wrk … -s closed.lua URL -- INDEX
--
-- Each line of the file INDEX is one request: the file of its body, its content type, and the value
-- of Inference-Header-Content-Length or "-", separated by tabs. With several lines each request is
-- one of them at random.

local prepared = {}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

function init(args)
  for line in io.lines(args[1]) do
    local path, content_type, header_length = line:match("([^\t]+)\t([^\t]+)\t([^\t]+)")
    local headers = { ["Content-Type"] = content_type }
    if header_length ~= "-" then
      headers["Inference-Header-Content-Length"] = header_length
    end
    for name, value in pairs(wrk.headers) do
      headers[name] = headers[name] or value
    end
    table.insert(prepared, wrk.format("POST", nil, headers, read(path)))
  end
  math.randomseed(20260101)
end

function request()
  if #prepared == 1 then
    return prepared[1]
  end
  return prepared[math.random(#prepared)]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, "refused": %d, "broken": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
