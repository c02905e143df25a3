# Signs a request with AWS's SDK for Ruby. Reads what to sign from standard input as JSON, and
# writes the headers.
require "aws-sigv4"
require "json"

wanted = JSON.parse($stdin.read)
credentials, request = wanted.values_at("credentials", "request")
signer = Aws::Sigv4::Signer.new(
  service: wanted["service"],
  region: wanted["region"],
  access_key_id: credentials["accessKeyId"],
  secret_access_key: credentials["secretAccessKey"],
  session_token: credentials["sessionToken"],
)
signed = signer.sign_request(
  http_method: request["method"],
  url: "https://#{request["headers"]["host"]}#{request["path"]}",
)
puts JSON.generate({ "host" => request["headers"]["host"] }.merge(signed.headers))
