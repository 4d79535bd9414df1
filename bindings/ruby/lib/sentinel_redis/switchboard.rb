# frozen_string_literal: true

require "io/wait"

class SentinelRedis
  # The calls of fibers, under a scheduler: all of them share one queue of the library and its descriptor. A thread waits for
  # it while there are such calls, and hands each completion to the fiber whose call it is.
  class Switchboard
    include Native::Unique

    CAPACITY = 4 * 65_536
    ENTRIES = 64
    # How long the thread stays when there is nothing to wait for.
    LINGERS = 0.5

    # The handle of the deployment that it is for.
    attr_reader :deployment

    def initialize(deployment)
      @deployment = deployment
      @queue = Native.make(:queue_free, :queue_new, deployment, CAPACITY)
      @io = Native.io(@queue)
      @waiting = {}
      @lock = Thread::Mutex.new
      @tag = 0
    end

    # Runs one command and gives its value.
    def command(client, arguments, call, _few)
      count, lengths, data = Command.pack(arguments)
      run(client) do |tag, id, error|
        Native.submit_queued(client, count, lengths, data, data.bytesize, call, @queue, tag, id, error)
      end
    end

    # Runs a batch and gives its values.
    def batch(client, batch, call)
      run(client) { |tag, id, error| Native.submit_batch(client, batch, call, @queue, tag, id, error) }
    end

    private

    # A fiber is left where it waits, and nowhere else.
    def run(client)
      id = FFI::MemoryPointer.new(:uint64)
      error = FFI::MemoryPointer.new(:pointer)
      tag, done = expect
      status = yield tag, id, error
      unless status == Native::OK
        forget(tag, done)
        raise Error.take(status, error.read_pointer)
      end
      status, reply, failure = receive(client, tag, done, id)
      return Reply.take(reply) if status == Native::OK

      raise Error.take(status, FFI::Pointer.new(failure))
    end

    def expect
      done = Thread::Queue.new
      @lock.synchronize do
        @waiting[@tag += 1] = done
        @reader = Thread.new { read } unless @reader&.alive?
        [@tag, done]
      end
    end

    def receive(client, tag, done, id)
      completion = done.pop
    ensure
      unless completion
        forget(tag, done)
        Native.cancel(client, id.read_uint64)
      end
    end

    # Nobody waits for it any more. What has come already is freed.
    def forget(tag, done)
      @lock.synchronize { @waiting.delete(tag) }
      release(done.pop) until done.empty?
    end

    def release(completion)
      _status, reply, error = completion
      Native.reply_free_at(reply)
      Native.error_free(FFI::Pointer.new(error))
    end

    # Until nobody has waited for a while: whoever comes then starts it again.
    def read
      entries = FFI::MemoryPointer.new(Native::COMPLETION_SIZE * ENTRIES)
      count = FFI::MemoryPointer.new(:size_t)
      loop do
        is_there = @io.wait_readable(LINGERS)
        Native.undisturbed do
          Native.queue_poll(@queue, entries, Native::COMPLETION_SIZE, ENTRIES, 0, count)
          hand_over(entries, count.read(:size_t))
          count.write(:size_t, 0)
        end
        break if !is_there && leave
      end
    end

    def hand_over(entries, count)
      count.times do |index|
        bytes = entries.get_bytes(index * Native::COMPLETION_SIZE, Native::COMPLETION_SIZE)
        tag, _kind, *completion = bytes.unpack(Native::COMPLETION)
        @lock.synchronize do
          done = @waiting.delete(tag)
          done ? done.push(completion) : release(completion)
        end
      end
    end

    def leave
      @lock.synchronize do
        next false unless @waiting.empty?

        @reader = nil
        true
      end
    end
  end
end
