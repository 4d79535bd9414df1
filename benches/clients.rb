# frozen_string_literal: true

# redis-rb as clients.sh drives it: clients.rb rate|write PATH|PORT|libsentinel SECONDS PREFIX; the last of the second by the driver.
require "redis"

what, where, seconds, prefix = ARGV
options =
  case where
  when "libsentinel"
    require "sentinel_redis/redis_client"
    { name: ENV.fetch("SERVICE"), sentinels: ENV.fetch("SENTINELS").split(",").map { |address| "redis://#{address}" },
      driver: :libsentinel }
  when /\A\d+\z/ then { port: Integer(where) }
  else { path: where }
  end
# Longer than a failover.
client = Redis.new(timeout: 15, **options)

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

if what == "rate"
  client.set(prefix, "x" * 64)
  begun = now
  done = 0
  while now - begun < Float(seconds)
    client.get(prefix)
    done += 1
  end
  puts (done / (now - begun)).round
  exit
end

over = false
writers = Array.new(4) do |number|
  Thread.new do
    mine = client.dup
    good = 0
    failed = []
    longest = 0.0
    until over
      begun = now
      begin
        mine.incr("#{prefix}:#{number}:#{good + failed.size}")
        good += 1
      rescue Redis::BaseError, RedisClient::Error => e
        failed << e.message[/\w+/]
      end
      longest = [longest, now - begun].max
      sleep 0.002
    end
    [good, failed, longest]
  end
end
puts "begun"
$stdout.flush
$stdin.read
over = true
books = writers.map(&:value)
failed = books.flat_map { |book| book[1] }
puts "#{books.sum(&:first)} #{failed.size} #{failed.count("UNKNOWN")} #{(books.map(&:last).max * 1000).round}"
