# frozen_string_literal: true

class SentinelRedis
  # A walk through the keys of a node, or the elements of a key. What is there all the time is given at least once, perhaps
  # more than once. A cursor is a node's own: when the node is gone the walk ends with WrongStateError, and restart begins
  # anew. One thread at a time. A walk has one of pool.max_connections until it has come to its end, is closed or collected:
  # close one that is left half-way.
  class Scan
    include Enumerable
    include Native::Unique

    DEFAULT_CALL = [Native::CALL_SIZE, 0, 0, 0, 0].pack(Native::CALL).freeze
    private_constant :DEFAULT_CALL

    def initialize(client, command, match, count, type = nil)
      @with_scores = command.first == "ZSCAN"
      @in_pairs = @with_scores || command.first == "HSCAN"
      arguments = command.dup
      arguments.push("MATCH", match) if match
      arguments.push("COUNT", count) if count
      arguments.push("TYPE", type) if type
      words = Command.words(arguments)
      @handle = Native.make(:scan_free, :scan_new, client, words.size, *Native.argv(words))
    end

    # Every element; of hashes pairs, and of sorted sets pairs with the score as Float. What is left by a break, or by first
    # or any?, goes on where it was left; restart begins anew.
    def each
      return enum_for(:each) unless block_given?

      loop do
        until @rest.nil? || @rest.empty?
          yield @in_pairs ? pair(*@rest.shift(2)) : @rest.shift
        end
        break unless fetch(nil)
      end
      self
    end

    # The next elements as the server gives them, perhaps none; nil at the end. A page whose wait was ended by a Timeout or an
    # exception from outside is not lost: the next call gives it.
    def next_page(timeout: nil)
      page = nil
      fetch(timeout)
      page, @rest = @rest, nil
      Native.settle
      page
    rescue Exception # rubocop:disable Lint/RescueException -- from outside, with the page in hand
      @rest ||= page
      raise
    end

    # Gives its connection back at once; waits for a page that is under way.
    def close
      return if @closed

      @closed = true
      @coming.wait if @coming && @pid == Process.pid
      @coming = nil
      @handle.free
      nil
    end

    # Back to the beginning, on whatever node serves the client then.
    def restart
      raise ClosedError.new("the scan is closed") if @closed

      @coming.wait if @coming
      @coming = @rest = nil
      Native.scan_restart(@handle)
      self
    end

    def inspect = "#<#{self.class}#{" closed" if @closed}>"

    private

    def pair(key, value) = [key, @with_scores && value.is_a?(String) ? Reply.number(value) : value]

    # Sees to it that @rest holds what comes next; nil at the end. It is there before anybody can be interrupted.
    def fetch(timeout)
      raise ClosedError.new("the scan is closed") if @closed
      return @rest unless @rest.nil? || @rest.empty?

      call = timeout ? [Native::CALL_SIZE, 0, Native.milliseconds(timeout), 0, 0].pack(Native::CALL) : DEFAULT_CALL
      Native.undisturbed do
        # In a child after fork there is no such thread any more.
        @coming = nil if @pid != Process.pid
        @pid = Process.pid
        asked = @coming && @limited
        begin
          come(call, timeout)
        rescue Error
          raise if !asked || @coming

          # It failed by the timeout of an earlier call: this one has its own.
          come(call, timeout)
        end
      end
    end

    # The page that is under way, or else one that is asked for now.
    def come(call, timeout)
      # One that is asked for now keeps the timeout itself.
      limit = timeout if @coming
      unless @coming
        @limited = !timeout.nil?
        @coming = Native::Aside.new { page(call) }
      end
      coming = @coming
      unless Native.disturbed { coming.wait(limit) }
        raise TimeoutError.new("timed out waiting for the page, which is under way", outcome: :unknown)
      end

      @coming = nil
      @rest = coming.value
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
