# frozen_string_literal: true

require "io/wait"

class SentinelRedis
  # A queue of the library with the buffers of one call at a time.
  #
  # Most replies are there after some microseconds, so a caller first waits inside the library, without the lock of the VM
  # and without a system call for a descriptor: one of few on a connection of its own, one of many for the queue. Ruby
  # cannot end that wait, so it is short. Then the caller waits for the queue's descriptor as for any IO: Timeout,
  # Thread#raise and Thread#kill end the wait. Fibers have the Switchboard.
  class Ticket
    include Native::Unique

    # Calls that were given up complete as well; more than a few are never under way.
    CAPACITY = 64
    ENTRIES = 8
    # Milliseconds that Timeout and Thread#kill may be late.
    SHORT = 20
    # So many calls of a client at a time have a connection and a thread to themselves.
    FEW = 2

    # The handle of the deployment that it is for.
    attr_reader :deployment

    def initialize(deployment)
      @deployment = deployment
      @queue = Native.make(:queue_free, :queue_new, deployment, CAPACITY)
      @queue_address = @queue.address
      @entries = FFI::MemoryPointer.new(Native::COMPLETION_SIZE * ENTRIES)
      @count = FFI::MemoryPointer.new(:size_t)
      @id = FFI::MemoryPointer.new(:uint64)
      @reply = FFI::MemoryPointer.new(:pointer)
      @error = FFI::MemoryPointer.new(:pointer)
      @sizes = FFI::MemoryPointer.new(:size_t, 2)
      @tag = 0
    end

    # Runs one command and gives its value. From the submission to the value it is left where it waits, and nowhere else: so
    # nothing is lost, and a call that was given up is cancelled.
    def command(client, arguments, call, few)
      count, lengths, data = Command.pack(arguments)
      Native.undisturbed do
        @tag += 1
        next try(client, count, lengths, data, call) if few

        finish(client, Native.submit_queued(client, count, lengths, data, data.bytesize, call, @queue, @tag, @id, @error))
      end
    end

    # Runs a batch and gives its values.
    def batch(client, batch, call)
      Native.undisturbed do
        @tag += 1
        finish(client, Native.submit_batch(client, batch, call, @queue, @tag, @id, @error))
      end
    end

    # Whether it has become slow for a thread: its queue has a descriptor, which every completion raises.
    def worn? = !@io.nil?

    # At once, for a descriptor is not to wait for the garbage collector.
    def close = @queue.free

    private

    def try(client, count, lengths, data, call)
      status = Native.try_command(client, count, lengths, data, data.bytesize, call, SHORT, @queue, @tag, @id, @reply, @error)
      return Reply.take(@reply.read_uint64, @sizes) if status == Native::OK

      finish(client, status == Native::EMPTY ? Native::OK : status)
    end

    def finish(client, status)
      raise Error.take(status, @error.read_pointer) unless status == Native::OK

      begin
        status, reply, error = wait
      ensure
        give_up(client) unless reply
      end
      return Reply.take(reply, @sizes) if status == Native::OK

      raise Error.take(status, FFI::Pointer.new(error))
    end

    # The completion of this call: status, and the addresses of reply and error.
    def wait
      Native.queue_wait(@queue, @entries, Native::COMPLETION_SIZE, ENTRIES, SHORT, @count)
      found = taken
      return found if found

      loop do
        linger
        Native.queue_poll(@queue, @entries, Native::COMPLETION_SIZE, ENTRIES, 0, @count)
        found = taken
        return found if found
      end
    end

    # Waits for the descriptor, or for a moment where the process can have no more of them: the command has been sent.
    def linger
      Native.disturbed do
        @io ||= begin
          descriptor = Native.queue_fd(@queue)
          descriptor.negative? ? nil : IO.for_fd(descriptor, autoclose: false)
        end
        @io ? @io.wait_readable : sleep(SHORT / 1000.0)
      end
    end

    # What became of this call, among the completions that a poll has left here; those of calls that were given up are
    # freed.
    def taken
      count = @count.get_uint64(0)
      @count.put_uint64(0, 0)
      found = nil
      index = 0
      while index < count
        tag, _kind, status, reply, error =
          @entries.get_bytes(index * Native::COMPLETION_SIZE, Native::COMPLETION_SIZE).unpack(Native::COMPLETION)
        if tag == @tag
          found = [status, reply, error]
        else
          Native.reply_free_at(reply)
          Native.error_free(FFI::Pointer.new(error))
        end
        index += 1
      end
      found
    end

    # Left by an exception from outside: the call has no more receiver.
    def give_up(client)
      @tag += 1
      taken
      Native.cancel(client, @id.read_uint64)
    end
  end
end
