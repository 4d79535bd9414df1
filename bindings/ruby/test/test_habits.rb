# frozen_string_literal: true

require_relative "helper"

# What somebody does who comes from another client and has read no more than the README.
class TestHabits < Minitest::Test
  include Topology

  def setup
    @client = primary
    @client.call("DEL", "hb:set", "hb:zset", "hb:list")
  end

  # A copy would free what the original has.
  def test_what_holds_a_handle_is_not_copied
    subscription = @client.subscribe("hb:channel")
    watch = deployment.watch
    connection = @client.acquire
    [deployment, @client, subscription, watch, connection, @client.scan].each do |object|
      assert_raises(SentinelRedis::UsageError) { object.dup }
      assert_raises(SentinelRedis::UsageError) { object.clone }
    end
    GC.start
    connection.release
    assert_equal "PONG", @client.call("PING")
  ensure
    [subscription, watch].each { |object| object&.close }
  end

  def test_a_ractor_gets_nothing_and_breaks_nothing
    script = <<~'RUBY'
      redis = SentinelRedis.new(sentinels: ENV["SENTINELS"].split(","))
      client = redis.primary(ENV["SERVICE"])
      2.times do
        begin
          Ractor.new(client) { |x| x }
          abort "a client went to a Ractor"
        rescue SentinelRedis::UsageError
          GC.start
        end
      end
      100.times { abort "another reply" unless client.call("ECHO", "x" * 3000) == "x" * 3000 }
      GC.start
      puts redis.primary(ENV["SERVICE"]).call("PING")
    RUBY
    assert_equal "PONG", in_a_process(script)
  end

  def test_arguments_that_are_none
    [nil, [nil], { key: nil }, Object.new, Time.now].each do |argument|
      error = assert_raises(SentinelRedis::UsageError) { @client.call("ECHO", argument) }
      assert_match(/is no value of a command/, error.message)
    end
    around = []
    around << around
    assert_match(/holds itself/, assert_raises(SentinelRedis::UsageError) { @client.call("ECHO", around) }.message)
    assert_raises(ArgumentError) { @client.call("RPUSH", "hb:list", "job", ex: 10) }
    assert_raises(ArgumentError) { @client.pipelined { |batch| batch.call("RPUSH", "hb:list", "job", retry_unknown: true) } }
    assert_equal 0, @client.call("EXISTS", "hb:list")
    assert_raises(SentinelRedis::UsageError) { @client.pipelined }
    assert_raises(SentinelRedis::UsageError) { @client.script("return 1") }
    assert_raises(SentinelRedis::UsageError) { SentinelRedis::Script.new(nil) }
    assert_raises(SentinelRedis::UsageError) { deployment.primary(7) }
    assert_equal "PONG", deployment.primary(service.to_sym).call("PING")
  end

  def test_a_batch_is_over_with_its_block
    kept = nil
    @client.pipelined { |batch| (kept = batch).call("PING") }
    assert_raises(SentinelRedis::WrongStateError) { kept.call("RPUSH", "hb:list", "lost") }
  end

  # In whatever steps.
  def test_a_walk_goes_on_where_it_was_left
    @client.call("SADD", "hb:set", *0...2000)
    walk = @client.sscan("hb:set", count: 50)
    seen = walk.first(3)
    assert walk.any? { |member| seen << member }
    walk.each do |member|
      seen << member
      break if seen.size > 100
    end
    seen.concat(walk.to_a)
    assert_equal 2000, seen.uniq.size
    assert_equal [], walk.next_page.to_a
    yielded = []
    assert_nil(@client.sscan("hb:set") { |member| yielded << member })
    assert_equal 2000, yielded.uniq.size
    @client.call("ZADD", "hb:zset", 1.5, "a", "inf", "b")
    pairs = {}
    @client.zscan("hb:zset") { |member, score| pairs[member] = score }
    assert_equal({ "a" => 1.5, "b" => Float::INFINITY }, pairs)
  end

  # And gives its place back, in the pool and in the server.
  def test_a_call_on_a_connection_ends_with_a_timeout
    client = primary(pool__max_connections: 1)
    3.times do
      connection = client.acquire
      assert_raises(Timeout::Error) { Timeout.timeout(0.05) { connection.call("BLPOP", "hb:none", 0) } }
      assert_raises(SentinelRedis::ClosedError) { connection.call("PING") }
      connection.release
      thread = Thread.new { client.acquire(timeout: 10) { |held| held.call("BLPOP", "hb:none", 0) } }
      eventually("it waits") { blocked_clients.positive? }
      thread.kill
      thread.join
    end
    assert_equal("PONG", client.acquire(timeout: 10) { |connection| connection.call("PING") })
    eventually("the server has ended them too") { blocked_clients.zero? }
  end

  # Whatever waits.
  def test_a_process_ends
    ["client.acquire { |c| c.call('BLPOP', 'hb:none', 0) }", "client.call('BLPOP', 'hb:none', 0)",
     "client.subscribe('hb:none') { }", "redis.watch { }"].each do |waits|
      script = <<~RUBY
        redis = SentinelRedis.new(sentinels: ENV["SENTINELS"].split(","))
        client = redis.primary(ENV["SERVICE"])
        Thread.new { #{waits} }
        client.call("PING")
        sleep 0.1
        puts "over"
      RUBY
      assert_equal "over", in_a_process(script), waits
    end
    script = <<~'RUBY'
      redis = SentinelRedis.new(sentinels: ["127.0.0.1:1"])
      begin
        Timeout.timeout(0.1) { redis.primary("nobody").connect(timeout: 120) }
      rescue Timeout::Error
        puts "over"
      end
    RUBY
    assert_equal "over", in_a_process(script)
  end

  def test_channels_are_texts
    assert_raises(SentinelRedis::UsageError) { @client.subscribe(nil) }
    assert_raises(SentinelRedis::UsageError) { @client.subscribe({ a: 1 }) }
    assert_raises(SentinelRedis::UsageError) { @client.subscribe { nil } }
    subscription = @client.subscribe(%w[hb:one hb:two], :"hb:three")
    names = []
    subscription.on_event { |event| names << event.fields["channel"] if event.name == "subscribed" }
    eventually("three channels") do
      subscription.next_message(timeout: 0.05)
      names.size == 3
    end
    assert_equal %w[hb:one hb:three hb:two], names.sort
  ensure
    subscription&.close
  end

  # Only the server's own word says that nothing was executed: a script may have written before it failed.
  def test_elements_have_their_outcome
    script = "redis.call('INCR', KEYS[1]); return redis.error_reply(ARGV[1])"
    @client.call("DEL", "hb:ran")
    @client.call("RPUSH", "hb:list", "x")
    %i[pipelined multi].each do |way|
      replies = @client.public_send(way, exception: false) do |batch|
        ["ERR x", "NOTSENT x", "UNKNOWN x"].each { |words| batch.call("EVAL", script, 1, "hb:ran", words) }
        batch.call("INCR", "hb:list")
      end
      assert_equal(%i[unknown unknown unknown refused], replies.map(&:outcome))
      assert_equal([SentinelRedis::CommandError] * 4, replies.map(&:class))
    end
    assert_equal "6", @client.call("GET", "hb:ran")
  end

  # An exception that comes from outside while messages are on their way, or a page, does not take them away. One that comes
  # between two lines of the program itself may: so few are not missed.
  def test_interruptions_lose_no_message_and_no_page
    stop = Class.new(StandardError)
    all = 20_000 - 20
    @client.call("SADD", "hb:set", *0...1000)
    subscription = @client.subscribe("hb:flood")
    subscription.next_message(timeout: 0.2)
    heard = []
    walked = Hash.new(0)
    walks = 0
    over = false
    ready = Queue.new
    interrupted = lambda do |&work|
      Thread.new do
        Thread.handle_interrupt(stop => :never) do
          ready << true
          until over
            begin
              Thread.handle_interrupt(stop => :immediate, &work)
            rescue stop
              next
            end
          end
        end
      rescue stop
        nil # the last one
      end
    end
    reader = interrupted.call do
      while (message = subscription.next_message(timeout: 0.05))
        heard << message.payload
      end
    end
    walk = @client.sscan("hb:set", count: 10)
    walker = interrupted.call do
      if (page = walk.next_page)
        page.each { |member| walked[member] += 1 }
      else
        walks += 1
        over = true if heard.size >= all && walks > 1
        walk.restart
      end
    end
    2.times { ready.pop }
    publisher = Thread.new do
      (0...20_000).each_slice(500) do |numbers|
        @client.pipelined { |batch| numbers.each { |n| batch.call("PUBLISH", "hb:flood", n) } }
      end
    end
    [reader, walker].each { |thread| thread.raise(stop) } while sleep(0.0002) && publisher.alive?
    eventually("all that was published, of which #{heard.size} were heard") { heard.size >= all }
    eventually("a walk") { walks > 1 }
    over = true
    [reader, walker, publisher].each { |thread| thread.join(20) || flunk("a thread has not ended") }
    assert_equal heard.map(&:to_i).uniq.sort, heard.map(&:to_i)
    assert_equal 1000, walked.size
  ensure
    subscription&.close
  end

  def test_messages_speak_ruby
    { "MULTI" => /use multi/, "SELECT 1" => /use acquire/, "WAIT 0 1" => /replicas:/, "SUBSCRIBE x" => /use subscribe/ }
      .each do |command, words|
        error = assert_raises(SentinelRedis::UnsupportedCommandError) { @client.call(*command.split) }
        assert_match words, error.message
        refute_match(/sentinel_/, error.message)
      end
    assert_match(/give sentinels:/, assert_raises(SentinelRedis::UsageError) { SentinelRedis.new }.message)
    assert_match(/"services"/, deployment.describe)
    assert_match(/^libsentinel_calls_total/, deployment.metrics)
    assert_equal "#<SentinelRedis::Scan>", @client.scan.inspect
  end

  private

  # What a program says, which ends within half a minute.
  def in_a_process(script)
    options = $LOAD_PATH.map { |folder| "-I#{folder}" }
    output = Timeout.timeout(30) do
      Open3.capture2e(RbConfig.ruby, *options, "-rsentinel_redis", "-rtimeout", "-W0", "-e", script).first
    end
    output.lines.grep_v(/terminated with exception|^\s+from|^\S+\.rb:/).join.strip
  end
end
