# frozen_string_literal: true

# Send a thousand commands in one write, and a few as one transaction.
#
#     pipeline.rb SERVICE HOST:PORT [HOST:PORT...]
require "sentinel_redis"

service, *sentinels = ARGV
abort "usage: pipeline.rb SERVICE HOST:PORT [HOST:PORT...]" if sentinels.empty?

client = SentinelRedis.new(sentinels: sentinels).primary(service)
_, *counted = client.pipelined do |pipeline|
  pipeline.call("DEL", "counter")
  1000.times { pipeline.call("INCR", "counter") }
end
puts "the sum of 1 to 1000 is #{counted.sum}"

# Nothing comes between the commands of a transaction.
_, from, to = client.multi do |transaction|
  transaction.call("MSET", "from", 100, "to", 0)
  transaction.call("DECRBY", "from", 30)
  transaction.call("INCRBY", "to", 30)
end
puts "from #{from}, to #{to}"
