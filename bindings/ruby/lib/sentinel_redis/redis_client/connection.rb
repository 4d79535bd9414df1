# frozen_string_literal: true

class SentinelRedis
  class RedisClient
    # A connection of redis-client, at whose other end is the library: Client#socket. It does not end in a failover, and what
    # comes over it is what a server says, so that values, transactions, WATCH and subscriptions are redis-client's own.
    class Connection < ::RedisClient::RubyConnection
      # The library answers at the end of a call's time by itself, and says why; this is for its answer to come.
      GRACE = 0.25
      private_constant :GRACE

      # An address without Sentinels, as in development, is redis-client's own business.
      def self.new(config, **timeouts)
        return ::RedisClient::RubyConnection.new(config, **timeouts) unless Settings.any?(config)

        super
      end

      def initialize(config, **timeouts)
        Following.over(config)
        super
      end

      # A new one where a timeout was changed meanwhile, or the login was refused.
      def revalidate
        if @pending_reads.positive? || @limit != config.limit_of(@read_timeout)
          close
          false
        else
          connected?
        end
      end

      def read(timeout = nil)
        reply = super
        return reply unless reply.is_a?(::RedisClient::CommandError)

        failure = Failure.of(reply)
        if failure.is_a?(::RedisClient::AuthenticationError)
          @limit = nil
          config.login_refused
        end
        failure
      end

      # How long the answer to a command is waited for. A time of zero or false means: for ever.
      def connection_timeout(timeout)
        return timeout unless timeout.nil? || (timeout && timeout.positive?)

        limit = @limit || config.limit_of(@read_timeout)
        limit.positive? ? (timeout || 0) + limit / 1000.0 + GRACE : false
      end

      # PING is answered at this end of the way.
      def measure_round_trip_delay
        before = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
        call(["TIME"], nil)
        Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond) - before
      end

      private

      # To a node, so that a program hears at once that there is none; then it waits no more than any call.
      def connect
        config.renew_login
        @limit = config.limit_of(@read_timeout)
        # Held, for with it the socket ends.
        @following = config.following(@limit).connect
        @io = BufferedIO.new(@following.socket, read_timeout: @read_timeout, write_timeout: @write_timeout)
        true
      rescue SentinelRedis::Error, SystemCallError => e
        @limit = nil
        config.login_refused if e.is_a?(SentinelRedis::AuthenticationError)
        raise Failure.to_connect(e)
      end
    end
  end
end
