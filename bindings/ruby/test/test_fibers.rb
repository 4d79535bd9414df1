# frozen_string_literal: true

require_relative "helper"
require_relative "small_scheduler"

class TestFibers < Minitest::Test
  include Topology

  def test_fibers_of_one_thread_wait_together
    client = primary
    order = []
    thread = Thread.new do
      Fiber.set_scheduler(SmallScheduler.new)
      Fiber.schedule { order << client.call("BLPOP", "rb:fibers", 0).last }
      Fiber.schedule { order << client.call("ECHO", "second") }
      Fiber.schedule do
        sleep 0.01 until order == ["second"]
        client.call("RPUSH", "rb:fibers", "first")
      end
    end
    assert thread.join(PATIENCE), "the fibers do not end"
    assert_equal %w[second first], order
  end

  def test_many_fibers_on_one_thread
    client = primary
    answers = []
    thread = Thread.new do
      Fiber.set_scheduler(SmallScheduler.new)
      200.times { |n| Fiber.schedule { answers << client.call("ECHO", n) } }
    end
    assert thread.join(PATIENCE), "the fibers do not end"
    assert_equal Array.new(200, &:to_s).sort, answers.sort
  end

  # However many wait, they have one descriptor.
  def test_many_fibers_under_a_low_limit
    script = <<~'RUBY'
      require "helper"
      require "test_fibers"
      Minitest.class_variable_set(:@@installed_at_exit, true)
      redis = SentinelRedis.new(sentinels: ENV["SENTINELS"].split(","))
      client = redis.primary(ENV["SERVICE"], pool__max_connections: 8)
      client.connect
      Process.setrlimit(:NOFILE, 64)
      answers = Hash.new(0)
      2.times do
        Thread.new do
          Fiber.set_scheduler(SmallScheduler.new)
          150.times do |n|
            Fiber.schedule do
              answers[:right] += 1 if client.call("BLPOP", "rb:low:#{n}", 0.01, timeout: 60).nil?
              answers[:right] += 1 if client.call("ECHO", n, timeout: 60) == n.to_s
            end
          end
        end.join
      end
      puts answers[:right]
      $stdout.flush
      exit!(0)
    RUBY
    paths = [File.expand_path("../lib", __dir__), __dir__].map { |path| "-I#{path}" }
    output, = Open3.capture2e("ruby", *paths, "-e", script)
    assert_equal "600", output.strip.lines.last&.strip, output
  end

  # A fiber that is ended while it waits leaves nothing to the next one.
  def test_a_fiber_that_was_ended
    client = primary
    order = []
    thread = Thread.new do
      Fiber.set_scheduler(SmallScheduler.new)
      waiting = Fiber.schedule do
        client.call("BLPOP", "rb:ended", 0)
      rescue Interrupt
        order << "ended"
      end
      Fiber.schedule do
        sleep 0.05
        Fiber.scheduler.end_of(waiting)
        order << client.call("ECHO", "next")
      end
    end
    assert thread.join(PATIENCE), "the fibers do not end"
    assert_equal %w[ended next], order
    eventually("a call that was given up goes on") { blocked_clients.zero? }
  end
end
