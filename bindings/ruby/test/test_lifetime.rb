# frozen_string_literal: true

require_relative "helper"

# What must not be lost, freed twice, shown or misread, however a call ends.
class TestLifetime < Minitest::Test
  include Topology

  # Ends the block by an exception from outside after some of the time that it takes.
  def interrupted(seconds)
    Timeout.timeout(seconds) { yield }
  rescue Timeout::Error
    nil
  end

  def test_a_storm_of_interruptions_frees_everything_once
    client = primary(pool__max_connections: 4)
    random = Random.new(7)
    stop = Process.clock_gettime(Process::CLOCK_MONOTONIC) + Float(ENV.fetch("SECONDS", "3"))
    threads = Array.new(6) do |n|
      Thread.new do
        round = 0
        while Process.clock_gettime(Process::CLOCK_MONOTONIC) < stop
          round += 1
          interrupted(random.rand(0.004) + 0.0001) do
            case round % 4
            when 0 then client.acquire(timeout: 1) { |connection| connection.call("ECHO", n) }
            when 1 then client.subscribe("rb:storm:#{n}").close
            when 2 then client.pipelined { |batch| 3.times { |i| batch.call("ECHO", i) } }
            else client.scan(count: 10).then { |walk| walk.first(3).tap { walk.close } }
            end
          end
          GC.start if (round % 50).zero?
        end
      end
    end
    threads.each(&:join)
    # None of the four is lost. A walk that was left gives its own back when it is collected, which an old word on a stack may
    # put off.
    held = []
    eventually("a slot is lost") do
      GC.start
      held << client.acquire(timeout: 0.2) while held.size < 4
      true
    rescue SentinelRedis::PoolExhaustedError
      false
    end
    held.each { |connection| assert_equal "back", connection.call("ECHO", "back") }
    held.each(&:release)
  end

  # The page of an earlier call, which had all the time there is, is waited for no longer than this one has.
  def test_a_page_that_is_under_way_is_waited_for_with_a_timeout_of_its_own
    client = primary
    client.call("SADD", "lt:walk", *0...2000)
    walk = client.sscan("lt:walk", count: 10)
    walk.next_page
    client.call("CLIENT", "PAUSE", 250, "ALL") # not for as long as Sentinels wait
    assert_raises(Timeout::Error) { Timeout.timeout(0.03) { walk.next_page } }
    assert_raises(SentinelRedis::TimeoutError) { walk.next_page(timeout: 0.03) }
    seen = walk.to_a
    assert_operator seen.size, :>=, 1900
  end

  def test_an_interrupted_acquire_gives_the_slot_back
    client = primary(pool__max_connections: 1)
    held = client.acquire
    # Whoever waits is ended before the connection is there, and just when it is.
    50.times do |n|
      waiter = Thread.new { client.acquire(timeout: 5)&.release }
      sleep 0.01
      [-> { held.release }, -> { waiter.kill }].rotate(n % 2).each(&:call)
      waiter.join
      held = client.acquire(timeout: 5)
    end
    held.release
    client.acquire(timeout: 5) { |connection| assert_equal "1", connection.call("ECHO", 1) }
  end

  def test_a_walk_that_is_left_half_way_gives_its_connection_back_when_it_is_closed
    client = primary(pool__max_connections: 1)
    client.pipelined { |batch| 100.times { |n| batch.call("SET", "rb:half:#{n}", n) } }
    10.times do
      walk = client.scan(count: 1)
      assert_equal 3, walk.first(3).size
      walk.close
      walk.close
      assert_raises(SentinelRedis::ClosedError) { walk.next_page }
      assert_raises(SentinelRedis::ClosedError) { walk.restart }
      client.acquire(timeout: 1) { |connection| assert_equal "1", connection.call("ECHO", 1) }
    end
  end

  def test_an_interrupted_scan_loses_no_page
    client = primary
    client.pipelined { |batch| 2000.times { |n| batch.call("SADD", "rb:pages", n) } }
    scan = client.sscan("rb:pages", count: 50)
    seen = Set.new
    slow = Class.new(StandardError)
    tries = 0
    loop do
      page = nil
      waiting = Thread.current
      tries += 1
      helper = tries % 2 == 1 ? Thread.new { sleep 0.0001; waiting.raise(slow) } : nil
      begin
        # Whatever comes, comes while it waits, or when the page is here.
        Thread.handle_interrupt(slow => :on_blocking) do
          page = scan.next_page
          helper&.join
        end
      rescue slow
        next unless page
      end
      break if page.nil?

      seen.merge(page)
    end
    assert_equal 2000, seen.size
  end

  def test_a_process_without_descriptors_gets_its_replies
    script = <<~'RUBY'
      require "sentinel_redis"
      redis = SentinelRedis.new(sentinels: ENV["SENTINELS"].split(","))
      client = redis.primary(ENV["SERVICE"])
      client.connect
      client.call("PING")
      Process.setrlimit(:NOFILE, Dir.children("/proc/self/fd").size + 3)
      wrong = Array.new(40) do |n|
        Thread.new { client.call("BLPOP", "rb:none:#{n}", 0.2) }
      end.count { |thread| !thread.value.nil? }
      wrong += 200.times.count { |n| client.call("ECHO", n) != n.to_s }
      puts wrong
    RUBY
    output, status = Open3.capture2e("ruby", "-I#{File.expand_path("../lib", __dir__)}", "-e", script)
    assert status.success?, output
    assert_equal "0", output.strip.lines.last
  end

  def test_a_child_logs_in_as_its_parent_was_told
    client = primary
    client.call("ACL", "SETUSER", "rb:fork", "on", ">new", "~*", "+@all")
    deployment.update_credentials("new", username: "rb:fork")
    eventually("nobody is somebody else") { client.call("ACL", "WHOAMI") == "rb:fork" }
    reader, writer = IO.pipe
    child = fork do
      writer.write(client.call("ACL", "WHOAMI"))
      exit!(0)
    end
    Process.wait(child)
    writer.close
    assert_equal "rb:fork", reader.read
  ensure
    deployment.update_credentials("")
    eventually("nobody is default again") { client.call("ACL", "WHOAMI") == "default" }
    client.call("ACL", "DELUSER", "rb:fork")
  end

  def test_a_closed_deployment_is_closed_in_a_child
    client = primary
    client.call("PING")
    deployment.close
    child = fork do
      client.call("PING")
      exit!(1)
    rescue SentinelRedis::ClosedError
      exit!(0)
    end
    assert_predicate Process.wait2(child)[1], :success?
  end

  def test_nothing_shows_a_password
    closed = SentinelRedis.new("redis+sentinel://:hidden1@127.0.0.1:1/nobody", password: "hidden2")
    client = closed.primary(password: "hidden3")
    [closed, client].each do |object|
      error = assert_raises(NoMethodError) { object.nothing_of_the_kind }
      [object.inspect, object.to_s, error.message, error.full_message].each { |text| refute_match(/hidden/, text) }
    end
  ensure
    closed&.close
  end

  def test_an_error_that_is_no_text_loses_no_reply
    body = "return redis.error_reply('BAD \xFF\xFE' .. ARGV[1])"
    replies = primary.pipelined(exception: false) do |batch|
      batch.call("ECHO", "before")
      batch.call("EVAL", body, 0, "\xE4")
      batch.call("ECHO", "after")
    end
    assert_equal %w[before after], replies.values_at(0, 2)
    assert_equal "BAD", replies[1].server_code
    assert_raises(SentinelRedis::CommandError) { primary.call("EVAL", body, 0, "\xE4") }
  end

  def test_arguments_that_make_no_sense_are_named
    client = primary
    {
      { timeout: 0 } => /timeout/, { timeout: -1 } => /timeout/, { timeout: "1" } => /timeout/,
      { timeout: Float::NAN } => /timeout/, { replicas: 2**33 } => /replicas/, { replicas: -1 } => /replicas/,
      { replicas: 1.5 } => /replicas/
    }.each do |options, what|
      error = assert_raises(SentinelRedis::UsageError) { client.call("PING", **options) }
      assert_match what, error.message
    end
    assert_equal "PONG", client.call("PING", timeout: 10**20)
    assert_equal "PONG", client.call("PING", timeout: Float::INFINITY)
    [[""], [{ host: "" }], [{ port: 1 }], [nil], ["a:b"], ["a:0"], ["a:65536"], ["a\0b"]].each do |sentinels|
      error = assert_raises(SentinelRedis::UsageError) { SentinelRedis.new(sentinels: sentinels) }
      assert_match(/sentinels/, error.message)
    end
    ["127.0.0.1", [{ host: "127.0.0.1", port: 1 }], [{ "host" => "::1" }], ["[::1]:7"], ["::1"], "host:1"].each do |sentinels|
      SentinelRedis.new(sentinels: sentinels).close
    end
  end

  def test_arguments_are_flattened
    require "bigdecimal"
    client = primary
    assert_equal "OK", client.call("MSET", { "rb:{a}" => 1, "rb:{a}2" => BigDecimal("2.5") })
    assert_equal ["1", "2.5"], client.call("MGET", ["rb:{a}", ["rb:{a}2"]])
    assert_equal %w[1 2.5], client.pipelined { |batch| batch.call("MGET", %w[rb:{a} rb:{a}2]) }.first
    assert_raises(SentinelRedis::UsageError) { client.call([]) }
    assert_raises(SentinelRedis::UsageError) { client.call("SET", "rb:a", Object.new) }
  end

  def test_errors_can_be_made_without_arguments
    classes = SentinelRedis.constants.map { |name| SentinelRedis.const_get(name) }
    classes = classes.select { |kind| kind.is_a?(Class) && kind <= SentinelRedis::Error }
    classes.each { |kind| assert_raises(kind) { raise kind } }
    assert_equal(-200, SentinelRedis::PrimaryNotFoundError.new.status)
    assert_predicate SentinelRedis::PrimaryNotFoundError.new("none"), :connection_error?
  end

  def test_text_is_text_whatever_the_environment
    script = <<~'RUBY'
      require "sentinel_redis"
      redis = SentinelRedis.new(sentinels: ENV["SENTINELS"].split(","))
      puts redis.primary(ENV["SERVICE"]).call("ECHO", "\u00e4").encoding
    RUBY
    output, = Open3.capture2e({ "LANG" => "C", "LC_ALL" => "C" }, "ruby", "-I#{File.expand_path("../lib", __dir__)}", "-e", script)
    assert_equal "UTF-8", output.strip
  end

  def test_a_call_on_the_deployment_is_one_on_its_primary
    redis = SentinelRedis.new("redis+sentinel://#{ENV.fetch("SENTINELS")}/#{service}")
    assert_equal "x", redis.call("ECHO", "x")
  ensure
    redis&.close
  end

  def test_a_trap_handler_may_call_also_as_the_first_in_a_child
    client = primary
    client.call("SET", "rb:trap", "value")
    got = []
    old = trap("USR1") { got << client.call("GET", "rb:trap") }
    Process.kill("USR1", Process.pid)
    eventually("the handler") { got.any? }
    reader, writer = IO.pipe
    child = fork do
      got.clear
      Process.kill("USR1", Process.pid)
      eventually("the handler in the child") { got.any? }
      writer.write(got.inspect)
    rescue Exception => e
      writer.write(e.inspect)
    ensure
      exit!(0)
    end
    writer.close
    Process.wait(child)
    assert_equal '["value"]', reader.read
    assert_equal ["value"], got
  ensure
    trap("USR1", old || "DEFAULT")
  end
end
