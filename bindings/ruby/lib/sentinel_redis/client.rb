# frozen_string_literal: true

require "socket"

class SentinelRedis
  # A client of the primary or of the replicas of a service, which follows them through every failover. Any number of
  # threads and fibers use it at once. In a child after fork it opens its own handles with the first call.
  class Client
    include Native::Unique

    RETRY_UNKNOWN = Native::CALL_RETRY_UNKNOWN
    NO_RETRY = Native::CALL_NO_RETRY
    WAIT_AOF = Native::CALL_WAIT_AOF
    # For the library: a call without options.
    DEFAULT_CALL = [Native::CALL_SIZE, 0, 0, 0, 0].pack(Native::CALL).freeze

    def initialize(deployment, maker, service, overrides)
      @deployment = deployment
      @maker = maker
      @service = service
      @overrides = overrides
      # Without a lock: a guess that is wrong costs time and nothing else.
      @calls = 0
      handle
    end

    # Runs one command and gives its reply.
    #
    # timeout: seconds, a deadline for the whole call, otherwise the client's timeout_ms; replicas: wait until so many
    # have the write; wait_aof: until the primary, and so many replicas, have it on disk; retry_unknown: repeat even what
    # may have been executed; no_retry: never repeat.
    def call(*arguments, timeout: nil, replicas: 0, wait_aof: false, retry_unknown: false, no_retry: false)
      call = options(timeout, replicas, wait_aof, retry_unknown, no_retry)
      run { |ticket, client, few| ticket.command(client, arguments, call, few) }
    end

    # Sends the commands of the block in one write and gives their replies. The first that is an error is raised, unless
    # exception is false: then it stands among the replies. Takes timeout, retry_unknown and no_retry as call does.
    def pipelined(exception: true, **options, &block)
      batch(Native::BATCH_PIPELINE, exception, options, block)
    end

    # The same as one MULTI ... EXEC: nothing comes between the commands.
    def multi(exception: true, **options, &block)
      batch(Native::BATCH_TRANSACTION, exception, options, block)
    end

    # Runs a Script, by its SHA-1 where the node has it. Takes the same keywords as call.
    def script(script, keys: [], argv: [], timeout: nil, **options)
      raise UsageError.new("a script is a SentinelRedis::Script") unless script.is_a?(Script)

      script.run(keys, argv, timeout, twice: options[:retry_unknown]) do |command, left|
        call(*command, timeout: left, **options)
      end
    end

    # Walks through the keys of a node, or the elements of a key: a Scan, which is Enumerable. With a block, yields each
    # element and closes the Scan.
    def scan(match: nil, count: nil, type: nil, &block) = walk(["SCAN"], match, count, type, &block)
    def hscan(key, match: nil, count: nil, &block) = walk(["HSCAN", key], match, count, &block)
    def sscan(key, match: nil, count: nil, &block) = walk(["SSCAN", key], match, count, &block)
    def zscan(key, match: nil, count: nil, &block) = walk(["ZSCAN", key], match, count, &block)

    # Yields a connection of one's own: for WATCH, MULTI by hand, and anything else with state.
    def acquire(timeout: nil)
      limit = Native.milliseconds(timeout)
      client = handle
      connection = nil
      handed_over = false
      # Whoever gives the wait up gives the connection back, also when it is here and the caller has not got it yet.
      Native.undisturbed do
        connection = Connection.new(
          Native.aside(undo: :free.to_proc, at_exit: @deployment.method(:close)) do
            Native.make(:connection_release, :client_acquire, client, limit)
          end
        )
      end
      return yield(connection) if block_given?

      handed_over = true
      connection
    ensure
      connection&.release unless handed_over
    end

    # Subscribes to channels, and to patterns. With a block, yields each message until the block breaks; without, gives
    # the Subscription.
    def subscribe(*channels, patterns: [], sharded: [], &block)
      if block && [channels, patterns, sharded].all?(&:empty?)
        raise UsageError.new("subscribe takes channels, patterns: or sharded:")
      end

      subscription = Subscription.new(@deployment.inbox(Subscription::CAPACITY), handle)
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
      limit = Native.milliseconds(timeout)
      client = handle
      Native.aside(at_exit: @deployment.method(:close)) do
        Native.failing { |error| Native.client_connect(client, limit, error) }
      end
      self
    end

    # The Node that serves this client now; nil while there is no connection. Does no I/O.
    def node
      out = FFI::MemoryPointer.new(:pointer)
      status = Native.client_node(handle, out)
      raise Error.take(status, FFI::Pointer::NULL) unless status == Native::OK

      Node.take(out.read_pointer).first
    end

    # A Socket that speaks RESP as a server of the client's role does and follows every failover: for libraries that bring a
    # client of their own. The caller closes it.
    def socket
      client = handle
      Native.undisturbed do
        out = FFI::MemoryPointer.new(:int)
        Native.failing { |error| Native.client_socket(client, out, error) }
        ::Socket.for_fd(out.read_int)
      end
    end

    # What it is, without the options, which hold passwords.
    def inspect = "#<#{self.class} #{@maker == :primary_for ? "primary" : "replica"} of #{@service || "the URL's service"}>"

    private

    def walk(command, *options)
      scan = Scan.new(handle, command, *options)
      return scan unless block_given?

      begin
        scan.each { |*element| yield(*element) }
      ensure
        scan.close
      end
      nil
    end

    # A child of fork has a deployment of its own, and in it this client.
    def handle
      deployment = @deployment.handle
      return @handle if @made_in.equal?(deployment)

      @handle = Options.with(**@overrides) do |overrides|
        Native.make(:client_free, @maker, deployment, @service, @overrides.empty? ? nil : overrides)
      end
      @made_in = deployment
      @calls = 0
      @handle
    end

    def options(timeout, replicas, wait_aof, retry_unknown, no_retry)
      return DEFAULT_CALL if timeout.nil? && replicas == 0 && !wait_aof && !retry_unknown && !no_retry
      unless replicas.is_a?(Integer) && replicas.between?(0, 2**32 - 1)
        raise UsageError.new("replicas is a number of them from 0 on, not #{replicas.inspect}")
      end

      flags = (retry_unknown ? RETRY_UNKNOWN : 0) | (no_retry ? NO_RETRY : 0) | (wait_aof ? WAIT_AOF : 0)
      [Native::CALL_SIZE, flags, Native.milliseconds(timeout), replicas, 0].pack(Native::CALL)
    end

    def batch(kind, exception, options, block)
      raise UsageError.new("the commands are gathered in a block") unless block

      batch = Batch.new(kind)
      block.call(batch)
      batch.complete
      return [] if batch.empty?

      replies = run_batch(batch, **options)
      failed = exception && replies.find { |reply| reply.is_a?(Error) }
      raise failed if failed

      replies
    end

    def run_batch(batch, timeout: nil, retry_unknown: false, no_retry: false)
      call = options(timeout, 0, false, retry_unknown, no_retry)
      run { |ticket, client| ticket.batch(client, batch.handle, call) }
    end

    # Yields a ticket, the client's handle, and whether few others are under way. The library itself knows those from before
    # a fork.
    def run
      client = @handle
      ticket = @deployment.take_ticket
      @calls += 1
      begin
        yield ticket, client, @calls <= Ticket::FEW
      ensure
        @calls -= 1
        @deployment.give_ticket(ticket)
      end
    rescue ForkedError
      raise if client.equal?(handle) && ticket.deployment.equal?(@made_in)

      retry
    end
  end

  # Commands gathered to be sent in one write.
  class Batch
    include Native::Unique

    attr_reader :handle

    def initialize(kind)
      @handle = Native.undisturbed { Native::Handle.new(Native.batch_new(kind), Native.method(:batch_free)) }
      @size = 0
    end

    # The options of a call are those of pipelined and multi.
    def call(*arguments, **nil)
      raise WrongStateError.new("the block is over, and the commands were sent") if @complete

      count, lengths, data = Command.pack(arguments)
      status = Native.batch_add_packed(@handle, count, lengths, data, data.bytesize)
      raise Native.undisturbed { Error.take(status, Native.batch_refusal(@handle)) } unless status == Native::OK

      @size += 1
      self
    end

    def empty? = @size.zero?

    # For the library: nothing comes after it.
    def complete = @complete = true

    def inspect = "#<#{self.class} of #{@size}>"
  end
end
