# frozen_string_literal: true

require_relative "helper"

# Replies of every shape are the values that they stand for.
class TestReplies < Minitest::Test
  include Topology

  def setup
    @client = primary
  end

  def test_the_extension_is_in_use_where_it_is_to_be
    skip "not said" unless ENV["FAST"]

    assert_equal ENV["FAST"] == "1", SentinelRedis::FAST
  end

  # A value, and the Lua that returns it.
  def random_value(random, depth)
    case random.rand(depth.zero? ? 5 : 8)
    when 0 then random.rand(-2**40..2**40).then { |number| [number, number.to_s] }
    when 1 then [nil, "false"]
    when 2 then ["", "''"]
    when 3 then random.bytes(random.rand(1..40)).then { |bytes| [bytes, lua(bytes)] }
    when 4 then random.rand(20).zero? ? long(random) : random.bytes(3).then { |bytes| [bytes, lua(bytes)] }
    else
      list = Array.new(random.rand(0..20)) { random_value(random, depth - 1) }
      [list.map(&:first), "{#{list.map(&:last).join(",")}}"]
    end
  end

  def long(random)
    length = random.rand(100..60_000)
    ["y" * length, "string.rep('y', #{length})"]
  end

  def lua(bytes) = "'#{bytes.each_byte.map { |byte| format("\\%03d", byte) }.join}'"

  def bytes_of(value)
    case value
    when String then value.b
    when Array then value.map { |element| bytes_of(element) }
    else value
    end
  end

  def test_nested_replies_are_what_was_sent
    300.times do |seed|
      value, text = random_value(Random.new(seed), 4)
      got = @client.call("EVAL", "return #{text}", 0)
      assert_equal [bytes_of(value)], [bytes_of(got)], "seed #{seed}"
    end
  end

  def test_texts_have_the_encoding_of_the_program_and_may_be_changed
    reply = @client.call("EVAL", "return {'häß', '', 'x', {'ö'}}", 0)
    texts = reply.flatten
    assert_equal ["häß", "", "x", "ö"], texts
    texts.each { |text| assert_equal Encoding.default_external, text.encoding }
    texts.each { |text| text << "more" }
    assert_equal "xmore", texts[2]
    refute_predicate @client.call("ECHO", "x"), :frozen?
  end

  def test_maps_and_sets_and_other_kinds
    @client.call("DEL", "rp:h", "rp:s", "rp:big")
    @client.call("HSET", "rp:h", (1..1000).to_h { |i| ["field#{i}", i] })
    assert_equal((1..1000).to_h { |i| ["field#{i}", i.to_s] }, @client.call("HGETALL", "rp:h"))
    @client.call("SADD", "rp:s", (1..500).to_a)
    assert_equal Set.new((1..500).map(&:to_s)), @client.call("SMEMBERS", "rp:s")
    assert_equal({}, @client.call("HGETALL", "rp:none"))
    assert_equal [], @client.call("LRANGE", "rp:none", 0, -1)
    kinds = @client.call("EVAL", <<~LUA, 0)
      redis.setresp(3)
      return {{map={a={1, 2}, b={double=2.5}}}, {set={x=true}}, {big_number='123456789012345678901234567890'}, true, {err='ERR no'}}
    LUA
    assert_equal({ "a" => [1, 2], "b" => 2.5 }, kinds[0])
    assert_equal Set["x"], kinds[1]
    assert_equal 123_456_789_012_345_678_901_234_567_890, kinds[2]
    assert_includes [true, 1], kinds[3]
    assert_kind_of SentinelRedis::Error, kinds[4]
    assert_equal "ERR no", kinds[4].message
  end

  # Large strings are copied while other threads run: each is sent as it was at one moment.
  def test_large_values_that_other_threads_change_meanwhile
    short, long = 3 << 20, (3 << 20) + 100_000
    text = +"a" * short
    over = false
    changes = 0
    changer = Thread.new do
      until over
        text << "b" * (long - short)
        text.slice!(short..)
        changes += 1
      end
    end
    20.times do |n|
      primary.call("SET", "large", text, "EX", 100)
      got = primary.call("GET", "large")
      assert_includes [short, long], got.bytesize
      assert_equal "a" * short, got.byteslice(0, short)
      assert_equal "b" * (got.bytesize - short), got.byteslice(short..)
      assert_equal Encoding::UTF_8, got.encoding
      got << n.to_s # it is the caller's own
    end
    assert_operator changes, :>, 0
  ensure
    over = true
    changer&.join
  end

  def test_long_replies_are_whole
    @client.call("DEL", "rp:l")
    @client.call("RPUSH", "rp:l", Array.new(5000) { |i| i.even? ? "short#{i}" : "l" * 3000 })
    reply = @client.call("LRANGE", "rp:l", 0, -1)
    assert_equal(Array.new(5000) { |i| i.even? ? "short#{i}" : "l" * 3000 }, reply)
    values = (1..100_000).map(&:to_s)
    assert_equal values, @client.call("EVAL", "local t = {} for i = 1, 100000 do t[i] = tostring(i) end return t", 0)
  end
end
