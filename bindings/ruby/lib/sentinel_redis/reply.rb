# frozen_string_literal: true

require "set"

class SentinelRedis
  # Makes Ruby's values of replies: nil, String, Integer, Float, true, false, Array, Hash, Set; an error inside an array
  # is an Error. A map with a key twice stays an Array of pairs, so that nothing is lost.
  module Reply
    # NIL, STATUS, STRING and so on.
    Native.names("REPLY_").each { |number, name| const_set(name.upcase, number) }

    # Copies the whole tree by two crossings, and frees the reply at this address. sizes is room for two numbers, which a
    # busy caller keeps.
    def self.take(reply, sizes = FFI::MemoryPointer.new(:size_t, 2))
      nodes = Native.reply_nodes_at(reply, sizes, sizes + 8)
      count, stride = sizes.read_array_of_uint64(2)
      # One value is the most frequent reply.
      return one(nodes.address, *nodes.read_bytes(Native::REPLY_NODE_SIZE).unpack(Native::REPLY_NODE)) if count == 1

      Reader.new(nodes.address, nodes.read_bytes(stride * count), count, stride).value
    ensure
      Native.reply_free_at(reply)
    end

    def self.one(address, type, _depth, length, data, integer, number)
      case type
      when STRING, STATUS, VERBATIM then text(data, length, encoding)
      when INTEGER then integer
      when NIL then nil
      when ARRAY, PUSH then []
      when MAP then {}
      when SET then Set.new
      when DOUBLE then number
      when BOOL then integer == 1
      when BIG_NUMBER then Integer(text(data, length, Encoding::BINARY), 10)
      when ERROR then Error.element(address)
      end
    end

    def self.text(data, length, encoding)
      return String.new(encoding: encoding) if length.zero?

      FFI::Pointer.new(data).read_bytes(length).force_encoding(encoding)
    end

    # A score, as the server writes it.
    def self.number(text)
      case text
      when "inf" then Float::INFINITY
      when "-inf" then -Float::INFINITY
      else Float(text)
      end
    end

    # That of the program; UTF-8 where the environment names none (LANG=C).
    def self.encoding
      external = Encoding.default_external
      external == Encoding::US_ASCII ? Encoding::UTF_8 : external
    end

    # Reads many nodes, depth first. Their texts are copied together and cut: a crossing for each would cost more than all
    # else.
    class Reader
      # Longer ones on average are copied one by one, so that none is copied twice.
      SHORT = 512
      # Nodes that are unpacked at once.
      SOME = 256
      private_constant :SHORT, :SOME

      def initialize(address, bytes, count, stride)
        @address = address
        @bytes = bytes
        @stride = stride
        @encoding = Reply.encoding
        @types = column(:type, count)
        @lengths = column(:len, count)
        @data = column(:data, count)
        @at = -1
        gather(count)
      end

      def value
        at = @at += 1
        case @types[at]
        when STRING, STATUS, VERBATIM then text(at)
        when ARRAY, PUSH then list(@lengths[at])
        when MAP then map(@lengths[at] / 2)
        when SET then Set.new(list(@lengths[at]))
        when ERROR then Error.element(@address + at * @stride)
        else Reply.one(@address + at * @stride, *@bytes.byteslice(at * @stride, Native::REPLY_NODE_SIZE).unpack(Native::REPLY_NODE))
        end
      end

      private

      # A field of all nodes.
      def column(field, count)
        at, letter = Native::REPLY_NODE_FIELDS.fetch(field)
        format = "x#{at}#{letter}x#{@stride - at - [0].pack(letter).bytesize}"
        some = @bytes.unpack(format * [count, SOME].min)
        done = SOME
        while done < count
          some.concat(@bytes.byteslice(done * @stride, SOME * @stride).unpack(format * [count - done, SOME].min))
          done += SOME
        end
        some
      end

      # The texts of a reply lie behind each other.
      def gather(count)
        # The first node has others and no text.
        data = @data.drop(1)
        data = data.reject(&:zero?) if data.include?(0)
        @base, last = data.minmax
        size = last ? last - @base + @lengths[@data.rindex(last)] : 0
        @texts = FFI::Pointer.new(@base).read_bytes(size).force_encoding(@encoding) if size.between?(1, count * SHORT)
      end

      def text(at)
        data = @data[at]
        return Reply.text(data, @lengths[at], @encoding) if @texts.nil? || data.zero?

        @texts.byteslice(data - @base, @lengths[at])
      end

      def list(length)
        values = Array.new(length)
        index = 0
        while index < length
          at = @at + 1
          if @texts && @types[at] == STRING
            @at = at
            values[index] = text(at)
          else
            values[index] = value
          end
          index += 1
        end
        values
      end

      def map(length)
        before = @at
        hash = {}
        index = 0
        while index < length
          key = value
          # A frozen one is taken as it is.
          key.freeze if key.is_a?(String)
          hash[key] = value
          index += 1
        end
        return hash if hash.size == length

        # A key came twice.
        @at = before
        Array.new(length) { [value, value] }
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
      words = arguments.all?(String) ? arguments : arguments.flat_map { |argument| flat(argument, 0) }
      raise UsageError.new("a command has at least its name") if words.empty?

      words
    end

    # More lie in each other only where an array holds itself.
    DEEPEST = 100
    private_constant :DEEPEST

    def self.flat(argument, depth)
      raise UsageError.new("an argument holds itself") if depth > DEEPEST

      case argument
      when Array then argument.flat_map { |element| flat(element, depth + 1) }
      when Hash then argument.flat_map { |key, value| flat(key, depth + 1) + flat(value, depth + 1) }
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
      else
        return argument.to_s("F") if defined?(BigDecimal) && argument.is_a?(BigDecimal)

        raise UsageError.new("#{argument.class} is no value of a command")
      end
    end
  end
end
