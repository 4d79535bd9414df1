# frozen_string_literal: true

class SentinelRedis
  # The extension in C, where it was built: calls without ffi, values in one pass. SENTINEL_REDIS_FFI=1 leaves it out.
  module Fast
    # What these lines and the extension have agreed upon: one of another installation is left out.
    WANTED = 2

    # The functions that it calls, in its order.
    FUNCTIONS = %w[try_command queue_poll queue_wake cancel reply_nodes reply_free error_free].freeze

    class << self
      # Whether it is there.
      def load
        return false if ENV["SENTINEL_REDIS_FFI"]

        require_extension
        return false unless const_defined?(:INTERFACE) && const_get(:INTERFACE) == WANTED

        bind(FUNCTIONS.map { |name| address("sentinel_#{name}") })
        true
      rescue LoadError
        false
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
    Ticket.prepend(Module.new do
      # Runs one command and gives its value; the wait ends with whatever another thread raises here.
      def command(client, arguments, call, few)
        Fast.command(client.address, @queue_address, arguments, call, few ? Ticket::SHORT : 0, @tag += 1)
      end
    end)
    Reply.singleton_class.prepend(Module.new { def take(...) = Fast.take(...) })
  end
end
