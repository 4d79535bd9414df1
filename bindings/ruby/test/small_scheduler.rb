# frozen_string_literal: true

# The smallest scheduler that Ruby's hooks allow: fibers that wait for a descriptor, a time or another thread, and
# select.
class SmallScheduler
  def initialize
    @readable = {}
    @until = {}
    @blocked = {}
    @unblocked = Thread::Queue.new
    @wake, @woken = IO.pipe
  end

  def io_wait(io, _events, timeout)
    @readable[Fiber.current] = io
    wait(timeout) { @readable.delete(Fiber.current) }
  end

  def kernel_sleep(duration = nil)
    wait(duration || 0)
  end

  def block(_blocker, timeout = nil)
    @blocked[Fiber.current] = true
    wait(timeout) { @blocked.delete(Fiber.current) }
  end

  # Ends the wait of a fiber by an exception.
  def end_of(fiber)
    fiber.raise(Interrupt)
  end

  # By any thread.
  def unblock(_blocker, fiber)
    @unblocked.push(fiber)
    @woken.write_nonblock(".", exception: false)
  end

  def fiber(&block)
    fiber = Fiber.new(blocking: false, &block)
    fiber.resume
    fiber
  end

  # Those that wait in a call, and may be ended.
  def waiting = @blocked.keys

  def close
    run
    [@wake, @woken].each(&:close)
  end

  def run
    until @readable.empty? && @until.empty? && @blocked.empty?
      ready, = IO.select(@readable.values + [@wake], nil, nil, @until.empty? ? nil : 0.001)
      @wake.read_nonblock(4096, exception: false) if ready&.delete(@wake)
      resume(@unblocked.pop) until @unblocked.empty?
      (ready || []).each { |io| @readable.key(io)&.resume(IO::READABLE) }
      @until.select { |_, at| at <= now }.each_key { |fiber| fiber.resume(false) if @until.key?(fiber) }
    end
  end

  private

  # What the wait ended with; false when its time did.
  def wait(timeout)
    @until[Fiber.current] = now + timeout if timeout
    Fiber.yield
  ensure
    @until.delete(Fiber.current)
    yield if block_given?
  end

  def resume(fiber) = @blocked.key?(fiber) && fiber.resume(true)

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
