# frozen_string_literal: true

# bench_ruby.rb LIBRARY THREADS SECONDS [WHAT]: on threads of Ruby, one GET of 64 bytes after the other, or WHAT: lrange
# or hgetall, of 1,000 elements. LIBRARY: sentinel, one client for all threads; client, redis-client, a client a thread; shared,
# redis-rb, one client for all; each, redis-rb, a client a thread. SERVICE and SENTINELS as `lab run` sets them. Prints
# operations a second, p50 and p99 in microseconds, processor microseconds an operation.
library, threads, seconds, what = ARGV
threads = Integer(threads)
seconds = Float(seconds)
service = ENV.fetch("SERVICE")
sentinels = ENV.fetch("SENTINELS").split(",")
VALUE = "0123456789abcdef" * 4
addresses = sentinels.map { |address| address.split(":").then { |host, port| { host: host, port: Integer(port) } } }

case library
when "sentinel"
  require "sentinel_redis"
  client = SentinelRedis.new(sentinels: sentinels).primary(service)
  call = ->(command, *rest) { client.call(command, *rest) }
  make = -> { call }
when "client"
  require "redis_client"
  config = RedisClient.sentinel(name: service, sentinels: addresses, role: :master)
  make = lambda do
    mine = config.new_client
    ->(command, *rest) { mine.call(command, *rest) }
  end
else
  require "redis"
  open = -> { Redis.new(url: "redis://#{service}", sentinels: addresses, role: :master) }
  one = open.call if library == "shared"
  make = lambda do
    redis = one || open.call
    ->(command, *rest) { command == "GET" ? redis.get(*rest) : redis.set(*rest) }
  end
end

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)

stop = false
ready = Queue.new
start = Queue.new
workers = Array.new(threads) do |i|
  Thread.new do
    mine = make.call
    key = "bench:rb:#{i}"
    case what
    when "lrange"
      mine.call("DEL", key)
      mine.call("RPUSH", key, *(1..1000).map(&:to_s))
      command = ["LRANGE", key, "0", "-1"]
    when "hgetall"
      mine.call("DEL", key)
      mine.call("HSET", key, *(1..1000).flat_map { |n| ["field:#{n}", n.to_s] })
      command = ["HGETALL", key]
    else
      mine.call("SET", key, VALUE)
    end
    ready << true
    start.pop
    took = []
    until stop
      before = now
      if command
        abort "another size" unless mine.call(*command).size == 1000
        took << (now - before) / 1000
        next
      end
      abort "another value" unless mine.call("GET", key) == VALUE
      took << (now - before) / 1000
    end
    took
  end
end
threads.times { ready.pop }
cpu = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
began = now
threads.times { start << true }
sleep seconds
stop = true
took = workers.flat_map(&:value).sort
elapsed = (now - began) / 1e9
used = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - cpu
puts format("%<ops>.0f %<p50>d %<p99>d %<cpu>.2f", ops: took.size / elapsed, p50: took[took.size / 2],
                                                  p99: took[took.size * 99 / 100], cpu: used * 1e6 / took.size)
