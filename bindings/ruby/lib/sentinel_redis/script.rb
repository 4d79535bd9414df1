# frozen_string_literal: true

class SentinelRedis
  # A Lua script with its SHA-1, made once and run by Client#script: the source is sent only to a node that does not have
  # it, such as a new primary. Never changes; any number of threads and clients use it at once.
  class Script
    READ_ONLY = Native::SCRIPT_READ_ONLY
    private_constant :READ_ONLY

    attr_reader :source, :sha1

    # read_only: the script only reads. It runs by EVALSHA_RO and EVAL_RO (redis 7), which refuse writes, and is repeated
    # as commands are that only read.
    def initialize(source, read_only: false)
      raise UsageError.new("the source of a script is a String") unless source.is_a?(String)

      @source = source.dup.freeze
      @read_only = read_only
      bytes = source.b
      handle = FFI::AutoPointer.new(Native.script_new(bytes, bytes.bytesize, read_only ? READ_ONLY : 0),
                                    Native.method(:script_free))
      @sha1 = Native.script_sha1(handle).dup.freeze
    end

    # For the library: yields a command and the seconds it has. twice: it may run again though it may have run.
    def run(keys, argv, timeout, twice: false)
      ends = timeout && (now + timeout)
      suffix = @read_only ? "_RO" : ""
      rest = [keys.size, *keys, *argv]
      begin
        yield ["EVALSHA#{suffix}", @sha1, *rest], timeout
      rescue CommandError => e
        raise unless missing?(e, twice || @read_only)

        begin
          left = ends && (ends - now)
          raise TimeoutError.new("the deadline passed", outcome: e.outcome) if left && left <= 0

          yield ["EVAL#{suffix}", @source, *rest], left
        rescue Error => failed
          # An earlier attempt by name may have run.
          failed.outcome = :unknown if e.outcome == :unknown
          raise failed
        end
      end
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # A script may end with any error after it has written: only the server's own word is :refused.
    def missing?(error, twice)
      error.message.include?("NOSCRIPT No matching script") && (twice || error.outcome == :refused)
    end
  end
end
