# frozen_string_literal: true

class SentinelRedis
  # A walk through the keys of a node, or the elements of a key. What is there all the time is given at least once, perhaps
  # more than once. A cursor is a node's own: when the node is gone the walk ends with WrongStateError, and restart begins
  # anew. One thread at a time. A walk has one of pool.max_connections until it has come to its end, is closed or collected:
  # close one that is left half-way.
  class Scan
    include Enumerable

    DEFAULT_CALL = [Native::CALL_SIZE, 0, 0, 0, 0].pack(Native::CALL).freeze
    private_constant :DEFAULT_CALL

    def initialize(client, command, match, count, type = nil)
      @in_pairs = %w[HSCAN ZSCAN].include?(command.first)
      arguments = command.dup
      arguments.push("MATCH", match) if match
      arguments.push("COUNT", count) if count
      arguments.push("TYPE", type) if type
      words = Command.words(arguments)
      @handle = Native.make(:scan_free, :scan_new, client, words.size, *Native.argv(words))
    end

    # Every element; of hashes and sorted sets pairs, as the server gives them.
    def each(&block)
      return enum_for(:each) unless block

      while (page = next_page)
        (@in_pairs ? page.each_slice(2) : page).each(&block)
      end
      self
    end

    # The next elements as the server gives them, perhaps none; nil at the end. A page whose wait was ended by a Timeout or an
    # exception from outside is not lost: the next call gives it.
    def next_page(timeout: nil)
      raise ClosedError.new("the scan is closed", status: -503) if @closed

      call = timeout ? [Native::CALL_SIZE, 0, Native.milliseconds(timeout), 0, 0].pack(Native::CALL) : DEFAULT_CALL
      Native.undisturbed do
        # In a child after fork there is no such thread any more.
        @coming = nil if @pid != Process.pid
        @pid = Process.pid
        asked = @coming && @limited
        begin
          come(call, timeout)
        rescue Error
          raise unless asked

          # It failed by the timeout of an earlier call: this one has its own.
          come(call, timeout)
        end
      end
    end

    # Gives its connection back at once; waits for a page that is under way.
    def close
      return if @closed

      @closed = true
      Native.ended(@coming) if @coming && @pid == Process.pid
      @coming = nil
      @handle.free
      nil
    end

    # Back to the beginning, on whatever node serves the client then.
    def restart
      raise ClosedError.new("the scan is closed", status: -503) if @closed

      Native.ended(@coming) if @coming
      @coming = nil
      Native.scan_restart(@handle)
      self
    end

    private

    # The page that is under way, or else one that is asked for now.
    def come(call, timeout)
      unless @coming
        @limited = !timeout.nil?
        @coming = Native.start { page(call) }
      end
      coming = @coming
      Native.disturbed { Native.ended(coming) }
      @coming = nil
      coming.value
    end

    def page(call)
      out = FFI::MemoryPointer.new(:pointer, 2)
      status = Native.scan_next(@handle, call, out, out + FFI::Pointer.size)
      return nil if status == Native::EMPTY
      raise Error.take(status, out.get_pointer(FFI::Pointer.size)) unless status == Native::OK

      Reply.take(out.get_pointer(0).address)
    end
  end
end
