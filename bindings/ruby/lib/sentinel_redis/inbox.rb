# frozen_string_literal: true

class SentinelRedis
  # What else happens: to a subscription, "subscribed" when a name is in force, "subscription_gap" where messages may be
  # missing; to a deployment, see Watch. fields are those of the library, such as "channel", "node", "milliseconds",
  # "dropped"; error is why the server refused a name or a login.
  Event = Struct.new(:name, :fields, :error)

  # A queue of messages and events, which waits for its descriptor as any IO does. One thread reads at a time.
  class Inbox
    include Native::Unique

    ENTRIES = 64

    # What its deployment keeps of it: enough to send its reader away.
    class Ending
      attr_reader :io

      def initialize(io)
        @io = io
        @over = false
      end

      def over? = @over

      def close
        @over = true
        @io.close
      end
    end

    attr_reader :queue, :ending

    def initialize(deployment, capacity)
      @queue = Native.make(:queue_free, :queue_new, deployment, capacity)
      @ending = Ending.new(Native.io(@queue))
      @entries = FFI::MemoryPointer.new(Native::COMPLETION_SIZE * ENTRIES)
      @count = FFI::MemoryPointer.new(:size_t)
      @found = []
      @pid = Process.pid
    end

    # Makes something else of the words of a message.
    def on_message(&block)
      @message = block
      self
    end

    # What has come, the next one first.
    attr_reader :found

    # The next one; nil when none came by the deadline, or none will come any more. One that its reader was interrupted with
    # is still the next.
    def next(deadline)
      found = nil
      found = @found.shift if fill(deadline)
      Native.settle
      found
    rescue Exception # rubocop:disable Lint/RescueException -- from outside
      @found.unshift(found) if found
      raise
    end

    # Waits until something has come; false when nothing came by the deadline, or will come any more.
    def fill(deadline)
      alive
      loop do
        return true unless @found.empty?
        return false if @ending.over?

        left = deadline && (deadline - Inbox.now)
        return false if left&.negative? || @ending.io.wait_readable(left).nil?
        return !@found.empty? unless Native.undisturbed { take }
      end
    rescue IOError
      # Closed by another thread.
      false
    end

    # Sends the reader away; what has been taken can still be read.
    def close = @ending.close

    # A child shares the descriptor, and would wait for what is its parent's.
    def alive
      raise ForkedError.new("do this again in the child") unless @pid == Process.pid
    end

    def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    private

    # Takes what is there; false when nothing will come any more.
    def take
      status = Native.queue_poll(@queue, @entries, Native::COMPLETION_SIZE, ENTRIES, 0, @count)
      @count.read(:size_t).times do |index|
        bytes = @entries.get_bytes(index * Native::COMPLETION_SIZE, Native::COMPLETION_SIZE)
        @found << made(*bytes.unpack(Native::COMPLETION).drop(1))
      end
      @count.write(:size_t, 0)
      status >= 0
    end

    def made(kind, status, reply, error)
      return Event.new(nil, {}, Error.take(status, FFI::Pointer.new(error))) unless status == Native::OK

      fields = Reply.take(reply)
      kind == Native::COMPLETION_MESSAGE ? @message.call(fields) : Event.new(fields["event"], fields)
    end
  end
end
