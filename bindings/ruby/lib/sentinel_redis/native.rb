# frozen_string_literal: true

require "ffi"
require_relative "numbers"

class SentinelRedis
  # The functions of libsentinel, as sentinel.h declares them; its numbers and layouts are in numbers.rb. Those that may wait
  # release the VM's lock.
  module Native
    extend FFI::Library
    # The gem of a platform brings it along.
    BUNDLED = File.join(__dir__, "bundled", "libsentinel.so.0")
    private_constant :BUNDLED

    # One that is named is taken or none: another in its place would go unnoticed.
    named = ENV["LIBSENTINEL"].to_s
    begin
      ffi_lib(named.empty? ? [(BUNDLED if File.exist?(BUNDLED)), "libsentinel.so.0", "libsentinel.so"].compact : named)
    rescue LoadError => e
      raise e if named.empty?

      raise LoadError, "LIBSENTINEL: #{e.message}"
    end

    # The constants whose names begin so, by their numbers: { 1 => :primary, 2 => :replica, ... }.
    def self.names(prefix)
      named = NUMBERS.select { |name| name.start_with?(prefix) }
      named.to_h { |name| [const_get(name), name.to_s.delete_prefix(prefix).downcase.to_sym] }.freeze
    end

    def self.function(name, arguments, result, **options)
      attach_function name, :"sentinel_#{name}", arguments, result, **options
    end

    function :version, [], :string
    function :status_message, [:int32], :string
    function :status_is_connection_error, [:int32], :int32

    function :error_status, [:pointer], :int32
    function :error_reason, [:pointer], :int32
    function :error_outcome, [:pointer], :int32
    function :error_message, %i[pointer pointer], :pointer
    function :error_server_code, %i[pointer pointer], :pointer
    function :error_endpoint, %i[pointer pointer], :pointer
    function :error_attempts, [:pointer], :size_t
    function :error_attempt, %i[pointer size_t pointer], :pointer
    function :error_free, [:pointer], :void

    function :options_new, [], :pointer
    function :options_add_sentinel, %i[pointer string uint16 pointer], :int32
    function :options_parse_url, %i[pointer string pointer], :int32
    function :options_set, %i[pointer string string pointer], :int32
    function :options_set_secret, %i[pointer string buffer_in size_t pointer], :int32
    function :options_key, [:size_t], :pointer
    function :options_free, [:pointer], :void

    function :open, %i[pointer pointer pointer], :int32
    function :close, %i[pointer int64], :int32, blocking: true
    function :free, [:pointer], :void
    function :discover_primary, %i[pointer string int64 pointer pointer], :int32, blocking: true
    function :discover_replicas, %i[pointer string int64 pointer pointer], :int32, blocking: true
    function :discover_sentinels, %i[pointer string int64 pointer pointer], :int32, blocking: true
    function :nodes_len, [:pointer], :size_t
    function :nodes_host, %i[pointer size_t], :string
    function :nodes_port, %i[pointer size_t], :uint16
    function :nodes_role, %i[pointer size_t], :int32
    function :nodes_free, [:pointer], :void

    function :describe, %i[pointer pointer size_t pointer], :int32
    function :metrics_text, %i[pointer pointer size_t pointer], :int32

    function :update_credentials, %i[pointer string buffer_in size_t pointer], :int32
    function :update_sentinel_credentials, %i[pointer string buffer_in size_t pointer], :int32
    function :update_sentinels, %i[pointer pointer pointer], :int32
    function :watch_events, %i[pointer uint32 pointer uint64 pointer], :int32

    function :primary_for, %i[pointer string pointer pointer pointer], :int32
    function :replica_for, %i[pointer string pointer pointer pointer], :int32
    function :client_connect, %i[pointer int64 pointer], :int32, blocking: true
    function :client_node, %i[pointer pointer], :int32
    function :client_socket, %i[pointer pointer pointer], :int32
    function :client_free, [:pointer], :void

    function :submit_queued,
             %i[pointer size_t buffer_in buffer_in size_t buffer_in pointer uint64 pointer pointer], :int32
    function :try_command,
             %i[pointer size_t buffer_in buffer_in size_t buffer_in int64 pointer uint64 pointer pointer pointer], :int32,
             blocking: true
    function :submit_batch, %i[pointer pointer buffer_in pointer uint64 pointer pointer], :int32
    function :cancel, %i[pointer uint64], :int32
    function :batch_new, [:int32], :pointer
    function :batch_add_packed, %i[pointer size_t buffer_in buffer_in size_t], :int32
    function :batch_refusal, [:pointer], :pointer
    function :batch_free, [:pointer], :void

    function :client_acquire, %i[pointer int64 pointer pointer], :int32, blocking: true
    function :connection_command, %i[pointer size_t pointer pointer buffer_in pointer pointer], :int32, blocking: true
    function :connection_cancel, [:pointer], :int32
    function :connection_release, [:pointer], :void

    function :script_new, %i[buffer_in size_t uint32], :pointer
    function :script_sha1, [:pointer], :string
    function :script_free, [:pointer], :void
    function :scan_new, %i[pointer size_t pointer pointer pointer pointer], :int32
    function :scan_next, %i[pointer buffer_in pointer pointer], :int32, blocking: true
    function :scan_restart, [:pointer], :void
    function :scan_free, [:pointer], :void

    # By the reply's address, which a completion holds as a number.
    attach_function :reply_nodes_at, :sentinel_reply_nodes, %i[size_t pointer pointer], :pointer
    attach_function :reply_failure_at, :sentinel_reply_failure, [:size_t], :pointer
    attach_function :reply_free_at, :sentinel_reply_free, [:size_t], :void

    function :queue_new, %i[pointer size_t pointer pointer], :int32
    function :queue_fd, [:pointer], :int
    function :queue_poll, %i[pointer pointer size_t size_t int64 pointer], :int32
    attach_function :queue_wait, :sentinel_queue_poll, %i[pointer pointer size_t size_t int64 pointer], :int32,
                    blocking: true
    function :queue_free, [:pointer], :void

    function :subscription_new, %i[pointer pointer uint64 pointer pointer], :int32
    function :subscription_add, %i[pointer int32 buffer_in size_t pointer], :int32
    function :subscription_remove, %i[pointer int32 buffer_in size_t pointer], :int32
    function :subscription_free, [:pointer], :void

    # What holds a handle is not copied: neither by dup and clone, nor on its way to a Ractor, which would free the handle
    # twice.
    module Unique
      def initialize_copy(_other)
        raise UsageError.new("a #{self.class} cannot be copied, nor handed to a Ractor")
      end
    end

    # What C gave and Ruby gives back, once: by free, or when it is dropped.
    class Handle < FFI::AutoPointer
      # An exception of another thread, or a Timeout, comes before this or after it, and not between its halves; whoever
      # frees it at the same time, and a child of a fork in between, finds nothing to free.
      def free
        Native.undisturbed do
          releaser, @releaser = @releaser, nil
          next unless releaser

          releaser.autorelease = false
          releaser.free
        end
      end
    end

    NEVER = { Object => :never }.freeze
    AT_ONCE = { Object => :immediate }.freeze

    # Runs the block without the exceptions that others send to this thread, so that nothing that C gave is lost between two
    # lines; those come when it is over, or where it says that they may. Under a fiber scheduler they come at its waits only.
    def self.undisturbed
      return yield if Fiber.scheduler

      Thread.handle_interrupt(NEVER) { yield }
    end

    # Raises what waits to be raised, as every return of a method does: so it is not raised a moment later, where what a method
    # gives is in nobody's hands.
    def self.settle = nil

    # The part of such a block that may be left.
    def self.disturbed
      return yield if Fiber.scheduler

      Thread.handle_interrupt(AT_ONCE) { yield }
    end

    # Calls a function that gives an object through its last but one argument; frees it with `free` when Ruby drops it.
    def self.make(free, name, *arguments)
      undisturbed do
        out = FFI::MemoryPointer.new(:pointer)
        failing { |error| public_send(name, *arguments, out, error) }
        Handle.new(out.read_pointer, method(free))
      end
    end

    # An IO of a queue's descriptor, which stays the queue's own.
    def self.io(queue)
      descriptor = queue_fd(queue)
      raise Errno::EMFILE, "the queue's descriptor" if descriptor.negative?

      IO.for_fd(descriptor, autoclose: false)
    end

    # More is no limit: 30,000 years.
    LONGEST = 10**12

    # 0 is the library's "default", -1 its "no limit".
    def self.milliseconds(seconds)
      return 0 if seconds.nil?
      raise UsageError.new("timeout is a number of seconds, not #{seconds.inspect}") unless seconds.is_a?(Numeric) && seconds.real?
      raise UsageError.new("timeout is more than 0 seconds; Float::INFINITY is no limit") unless seconds.positive?
      return -1 if seconds > LONGEST

      [(seconds * 1000).ceil, 1].max
    end

    # argv and its lengths, for the functions that take no packed arguments. Keep both while C has them.
    def self.argv(arguments)
      texts = arguments.map { |argument| FFI::MemoryPointer.from_string(argument) }
      argv = FFI::MemoryPointer.new(:pointer, texts.size).write_array_of_pointer(texts)
      # Nothing else holds on to the texts.
      argv.instance_variable_set(:@texts, texts)
      [argv, FFI::MemoryPointer.new(:size_t, texts.size).write_array_of_uint64(texts.map { |text| text.size - 1 })]
    end

    # A call that holds its thread, on a thread of its own: whoever waits for it can be interrupted, and a fiber scheduler sees
    # the wait. What is raised at the wait comes from outside: the call's own error is in its result.
    class Aside
      # Those under way: a process does not end before them.
      RUNNING = {}.compare_by_identity
      private_constant :RUNNING

      # Ends what would keep the process.
      def self.end_with_process = RUNNING.keys.each(&:stop)

      # What ends the call, if anything does.
      attr_writer :stop

      # Starts it. A call that is given up runs to its end, with the memory it uses.
      def initialize(stop = nil, &call)
        @stop = stop
        @pid = Process.pid
        RUNNING[self] = true
        @thread = Thread.new do
          Thread.current.report_on_exception = false
          Thread.handle_interrupt(NEVER) { run(call) }
        end
      rescue ThreadError
        RUNNING.delete(self)
        raise
      end

      # Not in a child of a fork, which has no such thread.
      def stop
        @stop&.call if @pid == Process.pid
      end

      # Waits for its end, for so many seconds at most; nil when they have passed.
      def wait(limit = nil) = @thread.join(limit) && self

      # What it gave, or raises what it has raised. It is over.
      def value
        @thread.join
        raise @error if @error

        @value
      end

      private

      def run(call)
        @value = call.call
      rescue Exception => e # rubocop:disable Lint/RescueException -- whoever takes the value gets it
        @error = e
      ensure
        RUNNING.delete(self)
      end
    end

    at_exit { Aside.end_with_process }

    # Runs the block so. Where its caller is interrupted, undo gets what it gives all the same, and at_exit ends it with the
    # process.
    def self.aside(undo: nil, at_exit: nil, &call)
      undisturbed do
        aside = Aside.new(&call)
        over = false
        begin
          disturbed { aside.wait }
          over = true
        ensure
          unless over
            aside.stop = at_exit
            undo_later(aside, undo) if undo
          end
        end
        aside.value
      end
    end

    def self.undo_later(aside, undo)
      Aside.new do
        undo.call(aside.value)
      rescue StandardError
        nil # It has failed, and gave nothing.
      end
    end
    private_class_method :undo_later

    # Raises what the block's status and the error behind its argument say.
    def self.failing
      error = FFI::MemoryPointer.new(:pointer)
      status = yield error
      raise Error.take(status, error.read_pointer) unless status == OK
    end
  end
end
