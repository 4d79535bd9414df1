# frozen_string_literal: true

class SentinelRedis
  # A client of the primary or of the replicas of a service, which follows them through every failover. Any number of
  # threads and fibers use it at once. In a child after fork it opens its own handles with the first call.
  class Client
    RETRY_UNKNOWN = 1
    NO_RETRY = 2
    DEFAULT_CALL = [Native::CALL_SIZE, 0, 0, 0, 0].pack(Native::CALL).freeze
    private_constant :DEFAULT_CALL

    def initialize(deployment, maker, service, overrides)
      @deployment = deployment
      @maker = maker
      @service = service
      @overrides = overrides
      handle
    end

    # Runs one command and gives its reply.
    #
    # timeout: seconds, a deadline for the whole call, otherwise the client's timeout_ms; replicas: wait until so many
    # have the write; retry_unknown: repeat even what may have been executed; no_retry: never repeat.
    def call(*arguments, timeout: nil, replicas: 0, retry_unknown: false, no_retry: false)
      lengths, data = Command.pack(arguments)
      call = options(timeout, replicas, retry_unknown, no_retry)
      client = handle
      @deployment.with_ticket do |ticket|
        ticket.run(client) do |queue, tag, id, error|
          Native.submit_queued(client, arguments.size, lengths, data, data.bytesize, call, queue, tag, id, error)
        end
      end
    end

    # Sends the commands of the block in one write and gives their replies. The first that is an error is raised, unless
    # exception is false: then it stands among the replies.
    def pipelined(exception: true, **options, &block)
      batch(1, exception, options, block)
    end

    # The same as one MULTI ... EXEC: nothing comes between the commands.
    def multi(exception: true, **options, &block)
      batch(2, exception, options, block)
    end

    # Yields a connection of one's own: for WATCH, MULTI by hand, and anything else with state.
    def acquire(timeout: nil)
      connection = Connection.new(Native.make(:connection_release, :client_acquire, handle, milliseconds(timeout)))
      return connection unless block_given?

      begin
        yield connection
      ensure
        connection.release
      end
    end

    # Subscribes to channels, and to patterns. With a block, yields each message until the block breaks; without, gives
    # the Subscription.
    def subscribe(*channels, patterns: [], sharded: [], &block)
      subscription = Subscription.new(@deployment.handle, handle)
      subscription.subscribe(*channels).psubscribe(*patterns).ssubscribe(*sharded)
      return subscription unless block

      begin
        subscription.each(&block)
      ensure
        subscription.close
      end
    end

    # Finds the node and makes a first connection, for programs that want to fail at their start.
    def connect(timeout: nil)
      Native.failing { |error| Native.client_connect(handle, milliseconds(timeout), error) }
      self
    end

    # The Node that serves this client now; nil while there is no connection. Does no I/O.
    def node
      out = FFI::MemoryPointer.new(:pointer)
      status = Native.client_node(handle, out)
      raise Error.take(status, FFI::Pointer::NULL) unless status == Native::OK

      Node.take(out.read_pointer).first
    end

    private

    # A child of fork has a deployment of its own, and in it this client.
    def handle
      deployment = @deployment.handle
      return @handle if @made_in.equal?(deployment)

      handle = Options.with(**@overrides) do |overrides|
        Native.make(:client_free, @maker, deployment, @service, @overrides.empty? ? nil : overrides)
      end
      @made_in = deployment
      @handle = handle
    end

    def options(timeout, replicas, retry_unknown, no_retry)
      return DEFAULT_CALL if timeout.nil? && replicas.zero? && !retry_unknown && !no_retry

      flags = (retry_unknown ? RETRY_UNKNOWN : 0) | (no_retry ? NO_RETRY : 0)
      [Native::CALL_SIZE, flags, milliseconds(timeout), replicas, 0].pack(Native::CALL)
    end

    # 0 is the library's "default", -1 its "no limit".
    def milliseconds(seconds)
      return 0 if seconds.nil?
      return -1 if seconds == Float::INFINITY

      [(seconds * 1000).ceil, 1].max
    end

    def batch(kind, exception, options, block)
      batch = Batch.new(kind)
      block.call(batch)
      return [] if batch.empty?

      replies = run(batch, **options)
      failed = exception && replies.find { |reply| reply.is_a?(Error) }
      raise failed if failed

      replies
    end

    def run(batch, timeout: nil, replicas: 0, retry_unknown: false, no_retry: false)
      call = options(timeout, replicas, retry_unknown, no_retry)
      client = handle
      @deployment.with_ticket do |ticket|
        ticket.run(client) do |queue, tag, id, error|
          Native.submit_batch(client, batch.handle, call, queue, tag, id, error)
        end
      end
    end
  end

  # Commands gathered to be sent in one write.
  class Batch
    attr_reader :handle

    def initialize(kind)
      @handle = FFI::AutoPointer.new(Native.batch_new(kind), Native.method(:batch_free))
      @size = 0
    end

    def call(*arguments)
      lengths, data = Command.pack(arguments)
      status = Native.batch_add_packed(@handle, arguments.size, lengths, data, data.bytesize)
      raise Error.take(status, FFI::Pointer::NULL) unless status == Native::OK

      @size += 1
      self
    end

    def empty? = @size.zero?
  end

  # A connection of one's own, used by one thread at a time. A call on it is over only with its reply or its deadline.
  class Connection
    def initialize(handle)
      @handle = handle
    end

    def call(*arguments, timeout: nil)
      raise ClosedError.new("the connection was given back", status: -503) unless @handle

      memory = arguments.map { |argument| FFI::MemoryPointer.from_string(Command.bytes(argument)) }
      argv = FFI::MemoryPointer.new(:pointer, memory.size).write_array_of_pointer(memory)
      lengths = FFI::MemoryPointer.new(:size_t, memory.size).write_array_of_uint64(memory.map { |text| text.size - 1 })
      ms = timeout ? [(timeout * 1000).ceil, 1].max : 0
      call = [Native::CALL_SIZE, 0, ms, 0, 0].pack(Native::CALL)
      reply = FFI::MemoryPointer.new(:pointer)
      Native.failing do |error|
        Native.connection_command(@handle, memory.size, argv, lengths, call, reply, error)
      end
      Reply.take(reply.read_pointer)
    end

    def release
      @handle&.free
      @handle = nil
    end
  end
end
