# frozen_string_literal: true

require "fiddle"
require "open3"
require "set"
require "timeout"
require "sentinel_redis"
require_relative "small_scheduler"
require_relative "storm_calls"
require_relative "storm_ledger"
require_relative "storm_messages"

# A storm: everything at once, for SECONDS (20), by the random numbers of SEED. What each call may and must not give is
# in storm_calls.rb. Inside `lab run`: ruby -w -Ilib test/storm.rb
class Storm
  include StormCalls
  include StormMessages

  SLOTS = 4 # pool.max_connections
  MEMBERS = 500 # of the set that is walked through
  # How late a call may be on a machine that is not; more, by SLACK in ms, where it has other things to do, and then all else, too.
  SLACK = Float(ENV.fetch("SLACK", "500")) / 1000
  TURNS = 10 # how often a call waits for the lock of the VM
  UNLIMITED = 10.0 # timeout_ms
  PATIENCE = 60 + 10 * SLACK
  MEGABYTES = 50
  KEPT = 20 # handles that the stack seems to refer to
  WORKERS = 10
  # Ruby 3.1's own compaction reads, once in half an hour of this, what is no longer there.
  COMPACTS = RUBY_VERSION >= "3.2"

  # Sent to threads and fibers from outside.
  class Cut < RuntimeError; end

  # What a process has, for the comparison of before and after.
  Holdings = Struct.new(:descriptors, :threads, :inner, :memory) do
    def self.now
      inner = Dir.children("/proc/self/task").count do |task|
        File.read("/proc/self/task/#{task}/comm").start_with?("sentinel-")
      rescue SystemCallError
        false
      end
      pages = File.read("/proc/self/statm").split[1].to_i
      new(Dir.children("/proc/self/fd").size, Thread.list.size, inner, pages * 4096 >> 20)
    end
  end

  def initialize
    @seed = Integer(ENV.fetch("SEED", Random.new_seed % 1_000_000_000))
    @seconds = Float(ENV.fetch("SECONDS", "20"))
    @service = ENV.fetch("SERVICE")
    @sentinels = ENV.fetch("SENTINELS").split(",")
    @begun = now
    @over = false
    @failures = []
    # Odd while a failover or a shortage of descriptors is under way.
    @unrest = 0
    # By how much, in sum, a plain sleep was late.
    @stall = 0.0
    # Odd while GC.stress makes everything slow.
    @stress = 0
    @serial = 0
    @calls = @moved = @children = 0
    @counts = Hash.new(0)
    @lock = Mutex.new
  end

  def run
    Timeout.timeout(5) { sleep 0.01 }
    way = SentinelRedis::FAST ? "extension" : "ffi"
    puts "storm: ruby (#{way}) seed #{@seed}, #{@seconds} s"
    $stdout.flush
    StormLedger.begin { |name, pointer| broke("#{name} of what is freed, #{pointer}:\n#{caller.first(12).join("\n")}") }
    before = Holdings.now
    prepare
    blow
    nothing_goes_on if @failures.empty?
    every_slot_is_free if @failures.empty?
    @redis.close
    @redis = @primary = @replica = nil
    leaves_nothing(before)
    puts "storm: ruby (#{way}) seed #{@seed}, #{(now - @begun).round} s, #{@calls} calls, #{@moved} failovers, " \
         "#{@children} children, errors: #{@counts.sort.map { |kind, count| "#{kind} #{count}" }.join(", ")}; " \
         "late by #{@stall.round(2)} s in all"
    @failures.empty?
  end

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  # Ends the storm. Several tell more than the first.
  def broke(text)
    @over = true
    @failures << text
    return if @failures.size > 10

    puts "storm: ruby broke after #{(now - @begun).round(1)} s, SEED=#{@seed}, unrest #{@unrest}: #{text}"
    $stdout.flush
  end

  def prepare
    @redis = SentinelRedis.new(sentinels: @sentinels, timeout_ms: (UNLIMITED * 1000).to_i, pool__max_connections: SLOTS)
    @primary = @redis.primary(@service)
    @replica = @redis.replica(@service)
    @primary.pipelined { |batch| MEMBERS.times { |n| batch.call("SADD", "storm:set", n) } }
    @primary.call("SET", "storm:prepared", 1, replicas: 2)
    # Until then the primary stands in, and a walk that began there ends with that.
    ping(@replica) until @replica.node&.role == :replica
  end

  # All threads, until the time is over or something broke.
  def blow
    threads = Array.new(WORKERS) { |n| thread(n) { |random| work(random) } }
    threads += Array.new(2) { |n| thread(100 + n) { |random| hear(random) } }
    threads << thread(200) { |random| doom(random) } << thread(201) { |random| fibers(random) }
    threads << thread(202) { |random| children(random) }
    threads << thread(203) { |random| let_go(random) }
    others = [thread(300) { clock }, thread(301) { |random| weather(random) }, thread(302) { collect }]
    sleep 0.01 until @over || now - @begun > @seconds
    @over = true
    (others + threads).each { |thread| thread.join(PATIENCE) || hangs(thread) }
  end

  def hangs(thread)
    broke("a thread has not ended in #{PATIENCE} s")
    Thread.list.each { |each| puts "#{each.inspect}#{" is it" if each == thread}", *each.backtrace }
    $stdout.flush
    exit!(1)
  end

  def thread(number)
    Thread.new do
      random = Random.new(@seed + number)
      yield random until @over
    rescue Exception => e # rubocop:disable Lint/RescueException -- whatever it is, it is not to be expected
      broke("a thread ended with #{e.full_message(highlight: false)}")
    end
  end

  # How late whatever waits is on this machine, so that calls are not blamed for it.
  def clock
    begun = now
    sleep 0.005
    late = now - begun - 0.005
    @stall += late if late > 0.005
  end

  # What was dropped holds its slot until it is collected, and threads that wait for a slot make no garbage.
  def collect
    sleep 0.5
    GC.start
    @dropped = false
  end

  # What happens to all: failovers, collections, no more descriptors.
  def weather(random)
    @round = (@round || -1) + 1
    sleep random.rand(1.0)
    case @round < 4 ? @round : random.rand(4)
    when 0 then failover("kill-primary")
    when 1 then failover("fail-over")
    when 2 then without_descriptors(random)
    else collections(random)
    end
  end

  def lab(order)
    output, status = Open3.capture2e(ENV.fetch("LAB"), "ctl", order)
    broke("lab ctl #{order}: #{output}") unless status.success?
  end

  def failover(how)
    old = @redis.discover_primary(@service)
    unrest do
      lab(how)
      limit = now + PATIENCE
      # Until then it must not be restarted, for it would be an empty primary.
      while (node = @primary.node).nil? || node.to_s == old.to_s
        return broke("no other primary #{PATIENCE} s after #{how}") if now > limit

        ping(@primary)
        sleep 0.01
      end
      lab("restart-killed")
      lab("wait-settled")
      [@primary, @replica].each { |client| ping(client) }
    end
    @moved += 1
  end

  def ping(client)
    client.call("PING")
  rescue SentinelRedis::Error
    nil
  end

  def unrest
    @unrest += 1
    yield
  ensure
    @unrest += 1
  end

  def without_descriptors(random)
    soft, hard = Process.getrlimit(:NOFILE)
    unrest do
      Process.setrlimit(:NOFILE, Dir.children("/proc/self/fd").size + random.rand(8), hard)
      sleep random.rand(1.0)
    ensure
      Process.setrlimit(:NOFILE, soft, hard)
      ping(@primary)
    end
  end

  def collections(random)
    3.times do
      @stress += 1
      GC.stress = true
      sleep random.rand(0.1)
      GC.stress = false
      @stress += 1
      GC.start
      GC.compact if COMPACTS
      sleep random.rand(0.2)
    end
  ensure
    GC.stress = false
  end

  # A call that was given up has ended in the server too.
  def nothing_goes_on
    8.times { |n| block(Random.new(@seed + n), manners: %i[expire raise kill]) }
    limit = now + 5
    until (blocked = @primary.call("INFO", "clients")[/blocked_clients:(\d+)/, 1].to_i).zero?
      return broke("#{blocked} calls that were given up go on") if now > limit

      sleep 0.01
    end
  end

  # What was acquired and given up in whatever way has come back.
  def every_slot_is_free
    GC.start
    [@primary, @replica].each do |client|
      held = Array.new(SLOTS) { client.acquire(timeout: UNLIMITED) }
      held.each_with_index { |connection, n| broke("slot #{n}") unless connection.call("ECHO", n) == n.to_s }
      held.each(&:release)
    end
  rescue SentinelRedis::Error => e
    broke("a slot is not free: #{e.inspect}")
  end

  # Everything is closed or was dropped. What the stack seems to refer to is not collected.
  def leaves_nothing(before, some = 10)
    after, most = nil, before.descriptors + some
    50.times do
      GC.start
      trim
      sleep 0.1
      after = Holdings.now
      break if after.descriptors <= most && after.threads <= before.threads && after.inner.zero? && StormLedger::OPEN.size <= KEPT
    end
    what = "#{after.to_a} after, #{before.to_a} before"
    broke("#{what}: descriptors: #{kinds}") if after.descriptors > most
    broke("#{what}: threads: #{Thread.list.map(&:backtrace)}") if after.threads > before.threads
    broke("what C gave is not given back: #{StormLedger::OPEN.size}") if StormLedger::OPEN.size > KEPT
    broke("#{what}: threads of the library") if after.inner.positive?
    broke("#{what}: MB") if after.memory > before.memory + MEGABYTES
  end

  # What is free in the heaps of many threads, in pieces, is nobody's.
  def trim
    Fiddle::Function.new(Fiddle::Handle::DEFAULT["malloc_trim"], [Fiddle::TYPE_SIZE_T], Fiddle::TYPE_INT).call(0)
  rescue Fiddle::DLError
    nil # another C library
  end

  def kinds
    targets = Dir.children("/proc/self/fd").filter_map do |number|
      File.readlink("/proc/self/fd/#{number}").split(":[").first
    rescue SystemCallError
      nil
    end
    targets.tally
  end
end

exit(Storm.new.run) if $PROGRAM_NAME == __FILE__
