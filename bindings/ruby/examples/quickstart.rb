# frozen_string_literal: true

# Ask the Sentinels who serves, write through the primary, read through a replica, and send several commands at once.
#
#     quickstart.rb SERVICE HOST:PORT [HOST:PORT...]
#
# Each HOST:PORT is a Sentinel; SERVICE is the name it watches the primary under, often "mymaster".
require "sentinel_redis"

service, *sentinels = ARGV
abort "usage: quickstart.rb SERVICE HOST:PORT [HOST:PORT...]" if sentinels.empty?

begin
  redis = SentinelRedis.new(sentinels: sentinels, timeout_ms: 2000)
  puts "primary #{redis.discover_primary(service)}"
  redis.discover_replicas(service).each { |node| puts "replica #{node}" }

  primary = redis.primary(service)
  replica = redis.replica(service)
  # Replication is asynchronous; this write waits until one replica has it.
  puts "SET foo bar: #{primary.call("SET", "foo", "bar", replicas: 1)}"
  puts "GET foo: #{replica.call("GET", "foo") || "(not replicated yet)"}"

  _, _, fruit = primary.multi do |transaction|
    transaction.call("DEL", "fruit")
    transaction.call("HSET", "fruit", "apples", 3, "pears", 5)
    transaction.call("HGETALL", "fruit")
  end
  fruit.each { |name, count| puts "#{name}: #{count}" }
rescue SentinelRedis::ConnectionError => e
  warn "no connection to #{service}: #{e.message}", *e.attempts.map { |attempt| "    #{attempt}" }
  exit 1
end
