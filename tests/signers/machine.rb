# Who this machine is, again and again, as AWS's SDK for Ruby finds out by itself.
require "aws-sdk-core"
require "json"
require "set"

endpoint, seconds = ARGV
client = Aws::STS::Client.new(endpoint: endpoint, region: "eu-west-3", retry_limit: 0)
stop = Time.now + seconds.to_f
keys = Set.new
calls = 0
arn = nil
while Time.now < stop
  arn = client.get_caller_identity.arn
  keys << client.config.credentials.credentials.access_key_id
  calls += 1
  sleep 0.2
end
puts JSON.generate({ arn: arn, calls: calls, keys: keys.size })
