# frozen_string_literal: true

# Write twenty times a second, whatever happens to the primary, and say when it moved and what failed.
#
#     failover.rb SERVICE HOST:PORT [HOST:PORT...]
#
# Ends on SIGINT or SIGTERM with a summary.
require "sentinel_redis"

$stdout.sync = true
service, *sentinels = ARGV
abort "usage: failover.rb SERVICE HOST:PORT [HOST:PORT...]" if sentinels.empty?

stop = false
%w[INT TERM].each { |signal| trap(signal) { stop = true } }
client = SentinelRedis.new(sentinels: sentinels).primary(service).connect(timeout: 10)
acknowledged = failed = moves = 0
serving = nil

until stop
  begin
    client.call("SET", "failover:#{acknowledged + failed}", 1)
    acknowledged += 1
  rescue SentinelRedis::ConnectionError => e
    # After :not_sent and :refused it was not executed; after :unknown it may have been: a program that must know reads
    # the key back.
    failed += 1
    puts "  failed: #{e.class} outcome=#{e.outcome}"
  end
  node = client.node&.to_s
  if node && node != serving
    moves += 1 if serving
    serving = node
    puts "primary #{serving}"
  end
  sleep 0.05
end
puts "summary acknowledged=#{acknowledged} failed=#{failed} moves=#{moves}"
