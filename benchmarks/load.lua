-- One prepared request a line, none sent twice: the file named by LOAD holds
-- "body" or "header: value|header: value<TAB>body"; what has headers and no body is a
-- GET. Stops when the lines are used up.
local lines, position = {}, 0
local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
for line in io.lines(os.getenv("LOAD")) do lines[#lines + 1] = line end

function request()
  position = position + 1
  if position > #lines then
    -- wrk itself ends by the clock only; its own interrupt ends it cleanly.
    if position == #lines + 1 then os.execute("(sleep 0.05; kill -INT $PPID) &") end
    wrk.thread:stop()
  end
  local line = lines[math.min(position, #lines)]
  local head, body = line:match("^(.-)\t(.*)$")
  if head == nil then return wrk.format("POST", wrk.path, headers, line) end
  local all = { ["Content-Type"] = headers["Content-Type"] }
  for name, value in head:gmatch("([^:|]+): ([^|]*)") do all[name] = value end
  if body == "" then return wrk.format("GET", wrk.path, all) end
  return wrk.format("POST", wrk.path, all, body)
end

failed = 0
function response(status, _, body)
  if status ~= 200 and status ~= 201 then
    failed = failed + 1
    if failed == 1 then io.stderr:write(status, " ", body:sub(1, 600), "\n") end
  end
end

function done(summary, latency, _)
  local seconds = summary.duration / 1e6
  io.write(string.format("RESULT %d %.6f %d %.3f\n",
    summary.requests, seconds, summary.errors.status, latency:percentile(50) / 1000))
end
