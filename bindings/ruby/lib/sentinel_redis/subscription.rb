# frozen_string_literal: true

class SentinelRedis
  # What was published. kind is "message", "pmessage" or "smessage"; pattern is that of a pmessage.
  Message = Struct.new(:kind, :pattern, :channel, :payload)

  # What else happens to a subscription: "subscribed" when a name is in force, "subscription_gap" where messages may be
  # missing. fields are those of the library, such as "channel", "node", "milliseconds", "dropped"; error is why the
  # server refused a name or a login.
  Event = Struct.new(:name, :fields, :error)

  # A set of channels and patterns that follows its client's service through failovers. Messages that arrive while the
  # program does not look wait in a queue of CAPACITY.
  class Subscription
    include Enumerable

    CAPACITY = 65_536
    ENTRIES = 64
    CHANNEL, PATTERN, SHARDED = 1, 2, 3
    CONFIRM = 16 # an event tells when the name is in force

    def initialize(deployment, client)
      @queue = Native.make(:queue_free, :queue_new, deployment, CAPACITY)
      @io = IO.for_fd(Native.queue_fd(@queue), autoclose: false)
      @handle = Native.make(:subscription_free, :subscription_new, client, @queue, 0)
      @entries = FFI::MemoryPointer.new(Native::COMPLETION_SIZE * ENTRIES)
      @count = FFI::MemoryPointer.new(:size_t)
      @messages = []
      @pid = Process.pid
    end

    def subscribe(*channels) = each_name(:subscription_add, CHANNEL | CONFIRM, channels)
    def psubscribe(*patterns) = each_name(:subscription_add, PATTERN | CONFIRM, patterns)
    def ssubscribe(*channels) = each_name(:subscription_add, SHARDED | CONFIRM, channels)
    def unsubscribe(*channels) = each_name(:subscription_remove, CHANNEL, channels)
    def punsubscribe(*patterns) = each_name(:subscription_remove, PATTERN, patterns)
    def sunsubscribe(*channels) = each_name(:subscription_remove, SHARDED, channels)

    # Calls the block with each Event, between the messages where it stands, while messages are read.
    def on_event(&block)
      @on_event = block
      self
    end

    # The next Message; nil when none came within timeout seconds, or the deployment is closed. One thread at a time.
    def next_message(timeout: nil)
      alive
      deadline = timeout && (now + timeout)
      loop do
        found = @messages.shift
        return found if found.is_a?(Message)

        @on_event&.call(found) if found
        next if found
        return nil unless @handle

        left = deadline && (deadline - now)
        return nil if left&.negative? || @io.wait_readable(left).nil?
        return nil unless take
      end
    end

    # Every message, until the subscription or its deployment is closed.
    def each
      return enum_for(:each) unless block_given?

      while (message = next_message)
        yield message
      end
      self
    end

    def close
      @handle&.free
      @handle = nil
    end

    private

    # A child shares the descriptor, and would wait for its parent's messages.
    def alive
      raise ForkedError.new("subscribe again in the child", status: -106) unless @pid == Process.pid
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def each_name(function, kind, names)
      raise ClosedError.new("the subscription is closed", status: -503) unless @handle

      alive
      names.each do |name|
        bytes = name.to_s.b
        Native.failing { |error| Native.public_send(function, @handle, kind, bytes, bytes.bytesize, error) }
      end
      self
    end

    # Takes what is there; false when nothing will come any more.
    def take
      status = Native.queue_poll(@queue, @entries, Native::COMPLETION_SIZE, ENTRIES, 0, @count)
      @count.read(:size_t).times do |index|
        bytes = @entries.get_bytes(index * Native::COMPLETION_SIZE, Native::COMPLETION_SIZE)
        _tag, kind, status, reply, error = bytes.unpack(Native::COMPLETION)
        note(kind, status, FFI::Pointer.new(reply), FFI::Pointer.new(error))
      end
      @count.write(:size_t, 0)
      status >= 0
    end

    def note(kind, status, reply, error)
      if status != Native::OK
        @messages << Event.new(nil, {}, Error.take(status, error))
      elsif kind == Native::KIND_MESSAGE
        @messages << message(Reply.take(reply))
      else
        fields = Reply.take(reply)
        @messages << Event.new(fields["event"], fields)
      end
    end

    def message(words)
      case words
      in ["pmessage" => kind, pattern, channel, payload] then Message.new(kind, pattern, channel, payload)
      in [kind, channel, payload] then Message.new(kind, nil, channel, payload)
      end
    end
  end
end
