# frozen_string_literal: true

require "io/wait"

class SentinelRedis
  # A queue of the library with the buffers of one call at a time. The caller waits for the queue's descriptor as for any
  # IO: other threads and fibers run meanwhile, and Timeout, Thread#raise and Thread#kill end the wait.
  class Ticket
    # Calls that were given up complete as well; more than a few are never under way.
    CAPACITY = 64
    ENTRIES = 8

    def initialize(deployment)
      @queue = Native.make(:queue_free, :queue_new, deployment, CAPACITY)
      @io = IO.for_fd(Native.queue_fd(@queue), autoclose: false)
      @entries = FFI::MemoryPointer.new(Native::COMPLETION_SIZE * ENTRIES)
      @count = FFI::MemoryPointer.new(:size_t)
      @id = FFI::MemoryPointer.new(:uint64)
      @error = FFI::MemoryPointer.new(:pointer)
      @sizes = FFI::MemoryPointer.new(:size_t, 2)
      @tag = 0
    end

    # Yields what a submission takes last (queue, tag, id, error), waits for its completion, and gives its value.
    def run(client)
      @tag += 1
      status = yield @queue, @tag, @id, @error
      raise Error.take(status, @error.read_pointer) unless status == Native::OK

      finish(client)
    end

    private

    def finish(client)
      status = nil
      until status
        @io.wait_readable
        status, reply, error = taken
      end
      raise Error.take(status, error) unless status == Native::OK

      Reply.take(reply, @sizes)
    ensure
      # Left by an exception from outside: the call has no more receiver.
      Native.cancel(client, @id.read_uint64) unless status
    end

    # The completion of this call, if it is there; those of calls that were given up are freed.
    def taken
      found = nil
      Native.queue_poll(@queue, @entries, Native::COMPLETION_SIZE, ENTRIES, 0, @count)
      @count.read_uint64.times do |index|
        bytes = @entries.get_bytes(index * Native::COMPLETION_SIZE, Native::COMPLETION_SIZE)
        tag, _kind, status, reply, error = bytes.unpack(Native::COMPLETION)
        reply = FFI::Pointer.new(reply)
        error = FFI::Pointer.new(error)
        if tag == @tag
          found = [status, reply, error]
        else
          Native.reply_free(reply)
          Native.error_free(error)
        end
      end
      @count.write_uint64(0)
      found
    end
  end
end
