# frozen_string_literal: true

class SentinelRedis
  # A connection of one's own, used by one thread at a time. A call on it is over only with its reply or its deadline.
  class Connection
    def initialize(handle)
      @handle = handle
    end

    def call(*arguments, timeout: nil)
      raise ClosedError.new("the connection was given back", status: -503) unless @handle

      words = Command.words(arguments)
      argv, lengths = Native.argv(words)
      call = [Native::CALL_SIZE, 0, Native.milliseconds(timeout), 0, 0].pack(Native::CALL)
      reply = FFI::MemoryPointer.new(:pointer)
      Native.undisturbed do
        Native.failing do |error|
          Native.connection_command(@handle, words.size, argv, lengths, call, reply, error)
        end
        Reply.take(reply.read_pointer.address)
      end
    end

    def release
      @handle&.free
      @handle = nil
    end

    # What it is, without what it holds.
    def inspect = "#<#{self.class}#{" given back" unless @handle}>"
  end
end
