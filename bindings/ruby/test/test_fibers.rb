# frozen_string_literal: true

require_relative "helper"

# The smallest scheduler that Ruby's hooks allow: fibers that wait for a descriptor or a time, and select.
class SmallScheduler
  def initialize
    @readable = {}
    @sleeping = {}
  end

  def io_wait(io, _events, _timeout)
    @readable[io] = Fiber.current
    Fiber.yield
  end

  def kernel_sleep(duration = nil)
    @sleeping[Fiber.current] = now + (duration || 0)
    Fiber.yield
  end

  # A lock is never held across a wait here.
  def block(_blocker, _timeout = nil) = raise("a fiber blocks the thread")
  def unblock(_blocker, _fiber) = nil

  def fiber(&block)
    fiber = Fiber.new(blocking: false, &block)
    fiber.resume
    fiber
  end

  def close = run

  def run
    until @readable.empty? && @sleeping.empty?
      ready, = IO.select(@readable.keys, nil, nil, @sleeping.empty? ? nil : 0.001)
      (ready || []).each { |io| @readable.delete(io).resume(IO::READABLE) }
      @sleeping.select { |_, at| at <= now }.each_key { |fiber| @sleeping.delete(fiber) && fiber.resume }
    end
  end

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

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
end
