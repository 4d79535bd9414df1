# frozen_string_literal: true

class SentinelRedis
  # What was published. kind is "message", "pmessage" or "smessage"; pattern is that of a pmessage.
  Message = Struct.new(:kind, :pattern, :channel, :payload)

  # A set of channels and patterns that follows its client's service through failovers. Messages that arrive while the
  # program does not look wait in a queue of CAPACITY.
  class Subscription
    include Enumerable
    include Native::Unique

    CAPACITY = 65_536
    CHANNEL, PATTERN, SHARDED = Native::SUBSCRIBE_CHANNEL, Native::SUBSCRIBE_PATTERN, Native::SUBSCRIBE_SHARDED
    CONFIRM = Native::SUBSCRIBE_CONFIRM # an event tells when the name is in force

    def initialize(inbox, client)
      @inbox = inbox.on_message { |words| message(words) }
      @handle = Native.make(:subscription_free, :subscription_new, client, @inbox.queue, 0)
    end

    def subscribe(*channels) = each_name(:subscription_add, CHANNEL | CONFIRM, channels)
    def psubscribe(*patterns) = each_name(:subscription_add, PATTERN | CONFIRM, patterns)
    def ssubscribe(*channels) = each_name(:subscription_add, SHARDED | CONFIRM, channels)
    def unsubscribe(*channels) = each_name(:subscription_remove, CHANNEL, channels)
    def punsubscribe(*patterns) = each_name(:subscription_remove, PATTERN, patterns)
    def sunsubscribe(*channels) = each_name(:subscription_remove, SHARDED, channels)

    def inspect = "#<#{self.class}#{" closed" unless @handle}>"

    # Calls the block with each Event, between the messages where it stands, while messages are read.
    def on_event(&block)
      @on_event = block
      self
    end

    # The next Message; nil when none came within timeout seconds, or the deployment is closed. One thread at a time.
    def next_message(timeout: nil)
      deadline = timeout && (Inbox.now + timeout)
      found = nil
      while @inbox.fill(deadline)
        found = @inbox.found.shift
        Native.settle
        return found unless found.is_a?(Event)

        event, found = found, nil
        @on_event&.call(event)
      end
      nil
    rescue Exception # rubocop:disable Lint/RescueException -- from outside, with the message in hand
      @inbox.found.unshift(found) if found
      raise
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
      @inbox.close
    end

    private

    def each_name(function, kind, names)
      raise ClosedError.new("the subscription is closed") unless @handle

      @inbox.alive
      names.flatten.each do |name|
        unless name.is_a?(String) || name.is_a?(Symbol)
          raise UsageError.new("a channel is a String or Symbol, not #{name.inspect}")
        end

        bytes = name.to_s.b
        Native.failing { |error| Native.public_send(function, @handle, kind, bytes, bytes.bytesize, error) }
      end
      self
    end

    def message(words)
      case words
      in ["pmessage" => kind, pattern, channel, payload] then Message.new(kind, pattern, channel, payload)
      in [kind, channel, payload] then Message.new(kind, nil, channel, payload)
      end
    end
  end
end
