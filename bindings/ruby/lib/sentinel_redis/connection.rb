# frozen_string_literal: true

class SentinelRedis
  # A connection of one's own, used by one thread at a time. A Timeout and an exception from outside end a call, and the
  # connection with it: every later call is a ClosedError.
  class Connection
    include Native::Unique

    def initialize(handle)
      @handle = handle
    end

    # Runs one command and gives its reply. One that waits in the server, such as BLPOP, ends with its own timeout (0: never),
    # with timeout: in seconds, or with an exception from outside.
    def call(*arguments, timeout: nil)
      handle = @handle
      raise ClosedError.new("the connection was given back") unless handle

      words = Command.words(arguments)
      call = [Native::CALL_SIZE, 0, Native.milliseconds(timeout), 0, 0].pack(Native::CALL)
      Native.undisturbed do
        running = Native::Aside.new(-> { Native.connection_cancel(handle) }) { run(handle, words, call) }
        over = false
        begin
          Native.disturbed { running.wait }
          over = true
        ensure
          abandon(handle, running) unless over
        end
        running.value
      end
    end

    def release
      @handle&.free
      @handle = nil
    end

    # What it is, without what it holds.
    def inspect = "#<#{self.class}#{" given back" unless @handle}>"

    private

    # Ends the call that still has the connection, and gives that back when it is over.
    def abandon(handle, running)
      @handle = nil
      running.stop
      Native::Aside.new do
        running.wait
        handle.free
      end
    end

    def run(handle, words, call)
      argv, lengths = Native.argv(words)
      reply = FFI::MemoryPointer.new(:pointer)
      Native.failing do |error|
        Native.connection_command(handle, words.size, argv, lengths, call, reply, error)
      end
      Reply.take(reply.read_pointer.address)
    end
  end
end
