# frozen_string_literal: true

require_relative "helper"

class TestClient < Minitest::Test
  include Topology

  def test_writes_through_the_primary_and_reads_through_a_replica
    node = deployment.discover_primary(service)
    assert_equal :primary, node.role
    replicas = deployment.discover_replicas(service)
    assert_equal [:replica], replicas.map(&:role).uniq
    writer = primary.connect
    assert_equal node.to_s, writer.node.to_s
    assert_equal "OK", writer.call("SET", "rb:foo", "bar", replicas: replicas.size)
    assert_equal "bar", deployment.replica(service).call("GET", "rb:foo")
    assert_nil writer.call("GET", "rb:none")
  end

  def test_replies_become_ruby_values
    client = primary
    binary = "\x00\x01\xFF\r\n\x00".b
    client.call("SET", "rb:binary", binary)
    assert_equal binary, client.call("GET", "rb:binary").b
    assert_equal "", client.call("ECHO", "")
    assert_equal "é", client.call("ECHO", "é")
    client.call("DEL", "rb:hash", "rb:list", "rb:set", "rb:zset")
    assert_equal 3, client.call("HSET", "rb:hash", "a", 1, :b, 2.5, "c", true)
    assert_equal({ "a" => "1", "b" => "2.5", "c" => "1" }, client.call("HGETALL", "rb:hash"))
    client.call("RPUSH", "rb:list", "x", "y", "z")
    assert_equal %w[x y z], client.call("LRANGE", "rb:list", 0, -1)
    client.call("SADD", "rb:set", "m", "n")
    assert_equal Set["m", "n"], client.call("SMEMBERS", "rb:set")
    client.call("ZADD", "rb:zset", 2.5, "m")
    assert_in_delta 2.5, client.call("ZSCORE", "rb:zset", "m")
    nested = client.call("EVAL", "return {1, {2, 'x'}, {err='MINE oh'}, false}", 0)
    assert_equal [1, [2, "x"]], nested.take(2)
    assert_equal "MINE", nested[2].server_code
    assert_nil nested[3]
  end

  def test_errors_say_what_they_are
    client = primary
    client.call("SET", "rb:text", "x")
    error = assert_raises(SentinelRedis::CommandError) { client.call("LPUSH", "rb:text", "y") }
    assert_equal ["WRONGTYPE", :refused], [error.server_code, error.outcome]
    refute error.connection_error?
    assert_raises(SentinelRedis::UnsupportedCommandError) { client.call("SELECT", 1) }
    # What to use is told also where one of many is refused.
    refused = assert_raises(SentinelRedis::UnsupportedCommandError) { client.pipelined { |batch| batch.call("SUBSCRIBE", "x") } }
    assert_includes refused.message, "use subscribe"
    assert_raises(SentinelRedis::UsageError) { client.call }
    assert_raises(SentinelRedis::UsageError) { client.call("SET", "x", Object.new) }
    assert_raises(SentinelRedis::UsageError) { SentinelRedis.new("redis+sentinel://127.0.0.1/x?no.such=1") }
    assert_raises(SentinelRedis::UsageError) { SentinelRedis.new }
  end

  def test_nothing_left_to_connect_to
    none = SentinelRedis.new("redis+sentinel://127.0.0.1:1/none", timeout_ms: 200)
    error = assert_raises(SentinelRedis::PrimaryNotFoundError) { none.primary.call("PING") }
    assert_kind_of SentinelRedis::ConnectionError, error
    assert_equal [:no_sentinel_reachable, :not_sent], [error.reason, error.outcome]
    assert_match(/127\.0\.0\.1:1/, error.attempts.first)
    replica = none.replica(replica__fallback_to_primary: false)
    error = assert_raises(SentinelRedis::ReplicaNotFoundError) { replica.call("PING") }
    assert error.connection_error?
    assert_raises(SentinelRedis::PrimaryNotFoundError) { none.primary.connect }
    unknown = deployment.primary("#{service}-none", timeout_ms: 300)
    error = assert_raises(SentinelRedis::ConnectionError) { unknown.call("PING") }
    assert_equal :unknown_service, error.reason
  end

  def test_blocks_for_pipelines_and_transactions
    client = primary
    client.call("DEL", "rb:n")
    replies = client.pipelined { |pipeline| 100.times { pipeline.call("INCR", "rb:n") } }
    assert_equal (1..100).to_a, replies
    assert_equal [], client.pipelined { nil }
    assert_raises(SentinelRedis::CommandError) { client.pipelined { |pipeline| pipeline.call("LPUSH", "rb:n", "x") } }
    replies = client.pipelined(exception: false) do |pipeline|
      pipeline.call("LPUSH", "rb:n", "x").call("ECHO", "after")
    end
    assert_equal ["WRONGTYPE", "after"], [replies[0].server_code, replies[1]]
    assert_equal ["OK", 8], client.multi { |transaction| transaction.call("SET", "rb:n", 7).call("INCR", "rb:n") }
    assert_raises(SentinelRedis::TransactionAbortedError) { client.multi { |transaction| transaction.call("SET", "rb:n") } }
  end

  def test_a_connection_of_ones_own
    client = primary
    client.acquire do |connection|
      connection.call("WATCH", "rb:watched")
      connection.call("MULTI")
      connection.call("INCR", "rb:watched")
      client.call("SET", "rb:watched", "changed")
      assert_raises(SentinelRedis::TransactionAbortedError) { connection.call("EXEC") }
      assert_equal "", connection.call("ECHO", "")
    end
    connection = client.acquire
    connection.release
    assert_raises(SentinelRedis::ClosedError) { connection.call("PING") }
  end

  def test_threads_share_a_client
    client = primary
    answers = Array.new(16) { |i| Thread.new { Array.new(100) { |n| client.call("ECHO", "#{i}:#{n}") } } }.map(&:value)
    assert_equal(Array.new(16) { |i| Array.new(100) { |n| "#{i}:#{n}" } }, answers)
  end

  def test_other_threads_run_while_one_waits
    client = primary
    waiting = Thread.new { client.call("BLPOP", "rb:empty", 0) }
    eventually("no client is blocked") { blocked_clients == 1 }
    client.call("RPUSH", "rb:empty", "x")
    assert_equal %w[rb:empty x], waiting.value
  end

  def test_timeout_and_kill_end_a_wait
    client = primary
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { client.call("BLPOP", "rb:empty", 0) } }
    killed = Thread.new { client.call("BLPOP", "rb:empty", 0) }
    eventually("no client is blocked") { blocked_clients == 1 }
    killed.kill.join
    eventually("the call that was given up goes on") { blocked_clients.zero? }
    error = assert_raises(SentinelRedis::TimeoutError) { client.call("BLPOP", "rb:empty", 0, timeout: 0.05) }
    assert error.connection_error?
    20.times { |n| assert_equal n.to_s, client.call("ECHO", n) }
  end

  def test_a_child_after_fork_has_handles_of_its_own
    client = primary
    assert_equal "OK", client.call("SET", "rb:forked", "parent")
    children = Array.new(3) do
      fork do
        ok = client.call("GET", "rb:forked") == "parent" && client.call("INCR", "rb:children").positive?
        GC.start # what was inherited is freed
        exit!(ok && client.call("ECHO", "x") == "x" ? 0 : 1)
      end
    end
    children.each { |pid| assert Process.wait2(pid).last.success? }
    assert_equal "parent", client.call("GET", "rb:forked")
  end

  def test_close_ends_calls
    mine = SentinelRedis.new(sentinels: sentinels)
    client = mine.primary(service)
    waiting = Thread.new { client.call("BLPOP", "rb:empty", 0, no_retry: true) }
    waiting.report_on_exception = false
    eventually("no client is blocked") { blocked_clients == 1 }
    mine.close
    assert_raises(SentinelRedis::ClosedError) { waiting.value }
    assert_raises(SentinelRedis::ClosedError) { client.call("PING") }
  end
end
