# frozen_string_literal: true

# bench_ruby.rb LIBRARY THREADS SECONDS: GET and SET of 64 bytes by turns, on threads of Ruby. LIBRARY: sentinel, one
# client for all threads; shared, redis-rb, one client for all; each, redis-rb, a client a thread. SERVICE and SENTINELS
# as `lab run` sets them. Prints operations a second, p50 and p99 in microseconds, processor microseconds an operation.
library, threads, seconds = ARGV
threads = Integer(threads)
seconds = Float(seconds)
service = ENV.fetch("SERVICE")
sentinels = ENV.fetch("SENTINELS").split(",")
VALUE = "0123456789abcdef" * 4

if library == "sentinel"
  require "sentinel_redis"
  client = SentinelRedis.new(sentinels: sentinels).primary(service)
  call = ->(command, *rest) { client.call(command, *rest) }
  make = -> { call }
else
  require "redis"
  addresses = sentinels.map { |address| address.split(":").then { |host, port| { host: host, port: Integer(port) } } }
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
    mine.call("SET", key, VALUE)
    ready << true
    start.pop
    took = []
    until stop
      before = now
      mine.call("SET", key, VALUE)
      between = now
      abort "another value" unless mine.call("GET", key) == VALUE
      took << (between - before) / 1000 << (now - between) / 1000
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
