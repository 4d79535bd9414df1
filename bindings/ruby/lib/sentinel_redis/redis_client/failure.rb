# frozen_string_literal: true

class SentinelRedis
  class RedisClient
    # What the library answers where no server has: errors of redis-client that know their command, as those of a server do.
    module Failure
      # No node, or none that can be reached: no Sentinel knows it, TLS, a refused connection. It was never sent.
      class CannotConnectError < ::RedisClient::CannotConnectError
        include ::RedisClient::HasCommand
      end

      # A connection ended under the call. The message begins with what is known: NOTSENT, or UNKNOWN.
      class ConnectionError < ::RedisClient::ConnectionError
        include ::RedisClient::HasCommand
      end

      # The time of the call is over.
      class ReadTimeoutError < ::RedisClient::ReadTimeoutError
        include ::RedisClient::HasCommand
      end

      # All of pool.max_connections are in use.
      class CheckoutTimeoutError < ::RedisClient::CheckoutTimeoutError
        include ::RedisClient::HasCommand
      end

      # By the words of docs/sockets.md and the messages behind them, the first that fits. A server's own words are none of
      # these.
      TABLE = {
        /\ATIMEOUT timed out / => ReadTimeoutError,
        /\A(?:NOTSENT|UNKNOWN) (?:no (?:primary|replica) of service |could not connect: |TLS: )/ => CannotConnectError,
        /\A(?:NOTSENT|UNKNOWN) all \d+ connections of pool\.max_connections / => CheckoutTimeoutError,
        /\A(?:NOTSENT|UNKNOWN) / => ConnectionError
      }.freeze
      LOGIN = /\A(?:NOTSENT|UNKNOWN) login refused: /.freeze
      private_constant :TABLE, :LOGIN

      # The exception for a reply that is an error.
      def self.of(reply)
        text = reply.message
        return reply unless text.start_with?("TIMEOUT ", "NOTSENT ", "UNKNOWN ")
        return ::RedisClient::CommandError.parse(text.sub(LOGIN, "")) if text.match?(LOGIN)

        kind = TABLE.find { |pattern, _| text.match?(pattern) }&.last
        kind ? kind.new(text) : reply
      end

      # The same for an exception before there was anything to send. The server's word on a login stays what it is.
      def self.to_connect(error)
        return CannotConnectError.new(error.message) unless error.is_a?(SentinelRedis::AuthenticationError)

        ::RedisClient::CommandError.parse(error.message.delete_prefix("login refused: "))
      end
    end
  end
end
