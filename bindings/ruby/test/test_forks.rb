# frozen_string_literal: true

require_relative "helper"

# A process with threads in calls and subscriptions forks; FORKS says how many children (20).
class TestForks < Minitest::Test
  include Topology

  CALLERS = 16
  HEARERS = 8
  AT_ONCE = 4
  LIMIT = 20

  def setup
    @over = false
    @client = primary
    @threads = Array.new(CALLERS) { |n| Thread.new { call_until_over(n) } }
    @threads += Array.new(HEARERS) { |n| Thread.new { hear_until_over(n) } }
  end

  def test_no_child_is_lost
    forks = Integer(ENV.fetch("FORKS", "20"))
    children = {}
    lost = []
    forks.times do
      lost += reap(children) while children.size >= AT_ONCE
      children[fork { exit!(child ? 0 : 1) }] = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
    lost += reap(children) until children.empty?
    @over = true
    @threads.each { |thread| assert thread.join(PATIENCE), "a thread of the parent hangs" }
    puts "#{forks} children, #{lost.size} lost"
    assert_empty lost
  end

  private

  def call_until_over(number)
    round = 0
    until @over
      got = @client.call("ECHO", "#{number}:#{round += 1}")
      raise "#{got} is another's" unless got == "#{number}:#{round}"
    end
  end

  def hear_until_over(number)
    subscription = @client.subscribe("rb:forks:#{number}")
    until @over
      @client.call("PUBLISH", "rb:forks:#{number}", "message")
      subscription.next_message(timeout: 0.02)
    end
    subscription.close
  end

  # What the parent made is opened anew by the first call; what was inherited is freed.
  def child
    name = "rb:forks:child:#{Process.pid}"
    GC.start
    subscription = @client.subscribe(name)
    message = nil
    until message
      return false unless @client.call("ECHO", name) == name

      @client.call("PUBLISH", name, "message")
      message = subscription.next_message(timeout: 0.05)
    end
    subscription.close
    deployment.close
    message.payload == "message"
  rescue StandardError => e
    warn "child: #{e.full_message}"
    false
  end

  # The children that did not end well, of those that have ended or had their time.
  def reap(children)
    sleep 0.002
    now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    children.select { |_, started| now - started > LIMIT }.each_key { |pid| Process.kill(:KILL, pid) }
    ended = children.keys.filter_map { |pid| Process.wait2(pid, Process::WNOHANG) }
    ended.each { |pid, _| children.delete(pid) }
    ended.reject { |_, status| status.success? }
  end
end
