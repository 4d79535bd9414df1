# frozen_string_literal: true

require "set"

class SentinelRedis
  # Makes Ruby's values of replies: nil, String, Integer, Float, true, false, Array, Hash, Set; an error inside an array
  # is an Error. A map with a key twice stays an Array of pairs, so that nothing is lost.
  module Reply
    NIL, STATUS, STRING, INTEGER, DOUBLE, BOOL, ARRAY, MAP, SET, VERBATIM, BIG_NUMBER, PUSH, ERROR = (0..12).to_a

    # Copies the whole tree by one crossing, and frees the reply at this address. sizes is room for two numbers, which a
    # busy caller keeps.
    def self.take(reply, sizes = FFI::MemoryPointer.new(:size_t, 2))
      nodes = Native.reply_nodes_at(reply, sizes, sizes + 8)
      count, stride = sizes.read_array_of_uint64(2)
      # One value is the most frequent reply.
      return Reader.new(nodes.read_bytes(Native::NODE_SIZE).unpack(Native::NODE)).value if count == 1

      format = "#{Native::NODE}x#{stride - Native::NODE_SIZE}" * count
      Reader.new(nodes.read_bytes(stride * count).unpack(format)).value
    ensure
      Native.reply_free_at(reply)
    end

    # That of the program; UTF-8 where the environment names none (LANG=C).
    def self.encoding
      external = Encoding.default_external
      external == Encoding::US_ASCII ? Encoding::UTF_8 : external
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

        FFI::Pointer.new(data).read_bytes(length).force_encoding(Reply.encoding)
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
    # How many there are, their lengths and bytes, as sentinel_command_packed takes them.
    def self.pack(arguments)
      texts = words(arguments)
      [texts.size, texts.map(&:bytesize).pack("Q*"), texts.pack("a*" * texts.size)]
    end

    # The words of a command: an Array stands for its elements, a Hash for its keys and values by turns.
    def self.words(arguments)
      words = arguments.all?(String) ? arguments : arguments.flat_map { |argument| flat(argument) }
      raise UsageError.new("a command has at least its name", status: -101) if words.empty?

      words
    end

    def self.flat(argument)
      case argument
      when Array then argument.flat_map { |element| flat(element) }
      when Hash then argument.flat_map { |key, value| flat(key) + flat(value) }
      else [bytes(argument)]
      end
    end

    def self.bytes(argument)
      case argument
      when String then argument
      when Symbol, Integer, Float then argument.to_s
      when true then "1"
      when false then "0"
      when Rational then argument.to_f.to_s
      when defined?(BigDecimal) && BigDecimal then argument.to_s("F")
      else raise UsageError.new("#{argument.class} is no value of a command", status: -101)
      end
    end
  end
end
