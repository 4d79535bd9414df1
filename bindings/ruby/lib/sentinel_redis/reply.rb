# frozen_string_literal: true

require "set"

class SentinelRedis
  # Makes Ruby's values of replies: nil, String, Integer, Float, true, false, Array, Hash, Set; an error inside an array
  # is an Error. A map with a key twice stays an Array of pairs, so that nothing is lost.
  module Reply
    NIL, STATUS, STRING, INTEGER, DOUBLE, BOOL, ARRAY, MAP, SET, VERBATIM, BIG_NUMBER, PUSH, ERROR = (0..12).to_a

    # Copies the whole tree by one crossing, and frees the reply.
    def self.take(reply)
      count = FFI::MemoryPointer.new(:size_t)
      stride = FFI::MemoryPointer.new(:size_t)
      nodes = Native.reply_nodes(reply, count, stride)
      size = stride.read(:size_t)
      format = "#{Native::NODE}x#{size - Native::NODE_SIZE}" * count.read(:size_t)
      Reader.new(nodes.read_bytes(size * count.read(:size_t)).unpack(format)).value
    ensure
      Native.reply_free(reply)
    end

    # Reads the nodes, depth first; six fields each.
    class Reader
      def initialize(fields)
        @fields = fields
        @at = 0
      end

      def value
        type, _depth, length, data, integer, number = @fields[@at, 6]
        @at += 6
        case type
        when STRING, STATUS, VERBATIM then text(data, length)
        when INTEGER then integer
        when NIL then nil
        when ARRAY, PUSH then Array.new(length) { value }
        when MAP then map(length / 2)
        when SET then Set.new(Array.new(length) { value })
        when DOUBLE then number
        when BOOL then integer == 1
        when BIG_NUMBER then Integer(text(data, length), 10)
        when ERROR then Error.element(text(data, length))
        end
      end

      private

      def text(data, length)
        return String.new if length.zero?

        FFI::Pointer.new(data).read_bytes(length).force_encoding(Encoding.default_external)
      end

      def map(length)
        pairs = Array.new(length) { [value, value] }
        hash = pairs.to_h
        hash.size == pairs.size ? hash : pairs
      end
    end
  end

  # Makes the bytes of commands.
  module Command
    # Lengths and bytes, as sentinel_command_packed takes them.
    def self.pack(arguments)
      raise UsageError.new("a command has at least its name", status: -101) if arguments.empty?

      data = String.new(encoding: Encoding::BINARY)
      lengths = arguments.map do |argument|
        before = data.bytesize
        data << bytes(argument)
        data.bytesize - before
      end
      [lengths.pack("Q*"), data]
    end

    def self.bytes(argument)
      case argument
      when String then argument.ascii_only? ? argument : argument.b
      when Symbol, Integer, Float then argument.to_s
      when true then "1"
      when false then "0"
      else raise UsageError.new("#{argument.class} is no value of a command", status: -101)
      end
    end
  end
end
