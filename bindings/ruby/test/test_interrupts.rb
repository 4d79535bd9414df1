# frozen_string_literal: true

require_relative "helper"

class TestInterrupts < Minitest::Test
  include Topology

  class Interruption < StandardError; end

  def test_a_call_that_was_ended_leaves_nothing_to_the_next_one
    client = primary
    seed = Random.new_seed
    random = Random.new(seed)
    wrong = Queue.new
    begun = Queue.new
    300.times do |n|
      thread = Thread.new do
        begun << true
        (0..).each do |round|
          got = client.call("ECHO", "#{n}:#{round}")
          wrong << got unless got == "#{n}:#{round}"
        end
      rescue Interruption
        nil
      end
      begun.pop
      sleep random.rand(0.001)
      [-> { thread.kill }, -> { thread.raise(Interruption) }].sample(random: random).call
      thread.join
      wrong << n unless client.call("ECHO", n) == n.to_s
    end
    assert_predicate wrong, :empty?, "seed #{seed}: #{wrong.pop unless wrong.empty?}"
  end

  def test_a_long_call_is_ended_whenever_the_exception_comes
    client = primary
    [0.001, 0.01, 0.03].each do |after|
      before = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      assert_raises(Timeout::Error) { Timeout.timeout(after) { client.call("BLPOP", "rb:empty", 0) } }
      assert_operator Process.clock_gettime(Process::CLOCK_MONOTONIC) - before, :<, 1
    end
    eventually("a call that was given up goes on") { blocked_clients.zero? }
  end

  def test_calls_that_were_long_leave_no_descriptor
    client = primary
    20.times { assert_raises(SentinelRedis::TimeoutError) { client.call("BLPOP", "rb:empty", 0, timeout: 0.03) } }
    before = Dir.children("/proc/self/fd").size
    20.times { assert_raises(SentinelRedis::TimeoutError) { client.call("BLPOP", "rb:empty", 0, timeout: 0.03) } }
    # Connections come and go; a descriptor for each call would be twenty.
    assert_operator Dir.children("/proc/self/fd").size, :<=, before + 10
  end
end
