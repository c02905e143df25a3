-- Asks a broker whether a request may pass, before HAProxy forwards it: haproxy.cfg has
--   http-request lua.broker-decides http://127.0.0.1:8080/decisions/forward TOKEN
--   http-request deny deny_status 503 unless { var(txn.broker_allows) -m bool }
-- The second line must be there: HAProxy goes on when a script fails.
-- Needs HAProxy 2.6 or newer, whose own HTTP client asks. docs/services.md says what the
-- headers mean.

local TIMEOUT_MS = 2000

-- What a client sends under these names must not count, or belongs to its connection alone.
local NOT_PASSED_ON = {
  ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true,
  ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
  ["transfer-encoding"] = true, ["upgrade"] = true,
  ["x-broker-service-token"] = true, ["x-original-method"] = true, ["x-original-uri"] = true,
}

local TOLD_TO_THE_SERVICE = {
  "x-broker-principal", "x-broker-account", "x-broker-user-id", "x-broker-session-name",
  "x-broker-source-identity", "x-broker-tags", "x-broker-content-sha256",
}

local function first(values)
  return values and (values[0] or values[1])
end

local function refuse(txn, status, body, headers)
  local reply = txn:reply({status = status, body = body})
  for name, value in pairs(headers) do
    reply:add_header(name, value)
  end
  txn:done(reply)
end

local function question(txn, token)
  local headers = {}
  local sent = txn.http:req_get_headers()
  for name, values in pairs(sent) do
    if not NOT_PASSED_ON[name] then
      headers[name] = {}
      for number = 0, #values do
        headers[name][#headers[name] + 1] = values[number]
      end
    end
  end
  headers["x-broker-service-token"] = {token}
  headers["x-forwarded-method"] = {txn.f:method()}
  headers["x-forwarded-uri"] = {txn.f:pathq()}
  headers["x-forwarded-host"] = {first(sent["host"]) or ""}
  headers["x-forwarded-for"] = {txn.f:src()}
  headers["x-forwarded-proto"] = {txn.f:ssl_fc() == 1 and "https" or "http"}
  headers["x-original-content-length"] = {
    first(sent["content-length"]) or first(sent["transfer-encoding"]) or "",
  }
  return headers
end

core.register_action("broker-decides", {"http-req"}, function(txn, url, token)
  local answer = core.httpclient():get({
    url = url, headers = question(txn, token), timeout = TIMEOUT_MS,
  })
  local said = answer and answer.headers or {}
  if answer and answer.status == 200 then
    for _, name in ipairs(TOLD_TO_THE_SERVICE) do
      txn.http:req_set_header(name, first(said[name]) or "")
    end
    txn:set_var("txn.broker_allows", true)
  elseif answer and (answer.status == 401 or answer.status == 403) then
    local headers = {["content-type"] = "application/json"}
    headers["www-authenticate"] = first(said["www-authenticate"])
    headers["x-amzn-errortype"] = first(said["x-amzn-errortype"])
    refuse(txn, answer.status, answer.body, headers)
  else
    core.log(core.warning, "the broker did not decide: " .. tostring(answer and answer.status))
    refuse(txn, 503, "", {["retry-after"] = "1"})
  end
end, 2)
