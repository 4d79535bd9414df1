# frozen_string_literal: true

# Publish three messages and print what arrives. The subscription follows the service through failovers.
#
#     pubsub.rb SERVICE HOST:PORT [HOST:PORT...]
require "sentinel_redis"

service, *sentinels = ARGV
abort "usage: pubsub.rb SERVICE HOST:PORT [HOST:PORT...]" if sentinels.empty?

client = SentinelRedis.new(sentinels: sentinels).primary(service)
begin
  subscription = client.subscribe("news")
rescue SentinelRedis::UnavailableError
  warn "subscriptions are not in this version of the library"
  exit 77
end
# What is published before the server knows of the subscription reaches nobody.
sleep 0.02 until client.call("PUBLISH", "news", "hello").positive?
2.times { |n| client.call("PUBLISH", "news", "message #{n}") }
subscription.first(3).each { |message| puts "#{message.channel}: #{message.payload}" }
subscription.close
