# frozen_string_literal: true

require_relative "helper"

class TestScriptsAndScans < Minitest::Test
  include Topology

  def test_a_script_is_sent_to_a_node_that_does_not_have_it
    client = primary
    script = SentinelRedis::Script.new("redis.call('INCRBY', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")
    client.call("DEL", "rb:script")
    client.call("SCRIPT", "FLUSH")
    assert_equal "2", client.script(script, keys: ["rb:script"], argv: [2])
    assert_equal [1], client.call("SCRIPT", "EXISTS", script.sha1)
    assert_equal "5", client.script(script, keys: ["rb:script"], argv: [3], timeout: 5)
    reads = SentinelRedis::Script.new("return redis.call('GET', KEYS[1])", read_only: true)
    assert_equal "5", client.script(reads, keys: ["rb:script"])
    writes = SentinelRedis::Script.new("return redis.call('DEL', KEYS[1])", read_only: true)
    assert_raises(SentinelRedis::CommandError) { client.script(writes, keys: ["rb:script"]) }
  end

  def test_a_scripts_own_error_does_not_run_it_again
    client = primary
    client.call("DEL", "rb:script")
    script = SentinelRedis::Script.new("redis.call('INCR', KEYS[1]) return redis.error_reply('NOSCRIPT of mine')")
    # The second time the node has it.
    2.times { assert_raises(SentinelRedis::CommandError) { client.script(script, keys: ["rb:script"]) } }
    assert_equal "2", client.call("GET", "rb:script")
    forged = SentinelRedis::Script.new(
      "redis.call('INCR', KEYS[1]) return redis.error_reply('NOSCRIPT No matching script. Please use EVAL.')"
    )
    2.times do
      error = assert_raises(SentinelRedis::CommandError) { client.script(forged, keys: ["rb:script"]) }
      assert_equal :unknown, error.outcome
    end
    assert_equal "4", client.call("GET", "rb:script")
  end

  def test_wait_is_about_the_writes_of_its_own_connection
    error = assert_raises(SentinelRedis::Error) { primary.call("WAIT", 0, 10) }
    assert_match(/replicas:/, error.message)
  end

  def test_scans_are_enumerable
    client = primary
    names = Array.new(100) { |n| "rb:scan:#{n}" }
    client.pipelined { |pipeline| names.each { |name| pipeline.call("SET", name, "x") } }
    scan = client.scan(match: "rb:scan:*", count: 10, type: "string")
    assert_equal names.sort, scan.to_a.uniq.sort
    assert_nil scan.next_page
    assert_equal names.sort, scan.restart.to_a.uniq.sort
    assert_equal 3, client.scan(match: "rb:scan:*").each.lazy.first(3).size
    client.call("DEL", "rb:hash", "rb:set", "rb:zset")
    client.call("HSET", "rb:hash", "a", 1, "b", 2)
    client.call("SADD", "rb:set", "m", "n")
    client.call("ZADD", "rb:zset", 1, "one")
    assert_equal({ "a" => "1", "b" => "2" }, client.hscan("rb:hash").to_h)
    assert_equal %w[m n], client.sscan("rb:set", count: 5).sort
    assert_equal [["one", 1.0]], client.zscan("rb:zset").to_a
    assert_raises(SentinelRedis::CommandError) { client.hscan("rb:set").to_a }
  end

  # The lab's servers write no append-only file, or do not know the command.
  def test_what_waits_for_disks_is_refused_before_it_is_sent
    client = primary
    client.call("DEL", "rb:disk")
    error = assert_raises(SentinelRedis::CommandError) { client.call("SET", "rb:disk", "x", wait_aof: true) }
    assert_equal :not_sent, error.outcome
    assert_nil client.call("GET", "rb:disk")
  end
end
