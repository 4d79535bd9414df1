# frozen_string_literal: true

class SentinelRedis
  # The extension in C, where it was built: calls without ffi, values in one pass. SENTINEL_REDIS_FFI=1 leaves it out.
  module Fast
    # What these lines and the extension have agreed upon: one of another installation is left out.
    WANTED = 3

    # The functions that it calls, in its order.
    FUNCTIONS = %w[try_command queue_poll queue_wake cancel reply_nodes reply_free error_free].freeze

    class << self
      # Whether it is there.
      def load
        return false if ENV["SENTINEL_REDIS_FFI"]

        require_extension
        return false unless const_defined?(:INTERFACE) && const_get(:INTERFACE) == WANTED

        addresses = FUNCTIONS.map { |name| address("sentinel_#{name}") }
        bind(addresses, Client::DEFAULT_CALL, Ticket::FEW, Ticket::SHORT)
        true
      rescue LoadError
        false
      end

      # A queue for the calls of a deployment, of one at a time; nil in a child of fork, which has to open anew.
      def new_slot(deployment)
        queue = Native.make(:queue_free, :queue_new, deployment, Ticket::CAPACITY)
        slot(queue, queue.address)
      rescue ForkedError
        nil
      end

      # The exception for a failed call, whose error is freed once, whenever another thread interrupts this one.
      def failed(status, failure)
        Native.undisturbed { Error.take(status, FFI::Pointer.new(release(failure))) }
      end

      private

      # That of the gem of a platform, made for this Ruby, or the one that was made here.
      def require_extension
        require_relative "bundled/#{RbConfig::CONFIG["ruby_version"]}/fast_ext"
      rescue LoadError
        require "sentinel_redis/fast_ext"
      end

      def address(name)
        found = Native.ffi_libraries.filter_map { |library| library.find_function(name) }.first
        found.address
      end
    end
  end

  # Whether calls go through the extension.
  FAST = Fast.load

  if FAST
    # Client#call is that of the extension.
    module Fast::Calls
      private

      # What it needs of a client, once in each process.
      def new_line
        client = handle
        @line = Fast.line(client, client.address, @made_in, @deployment.slots)
      end

      def call_options(timeout: nil, replicas: 0, wait_aof: false, retry_unknown: false, no_retry: false)
        options(timeout, replicas, wait_aof, retry_unknown, no_retry)
      end
    end

    Client.prepend(Fast::Calls)
    Reply.singleton_class.prepend(Module.new { def take(...) = Fast.take(...) })
  end
end
