# frozen_string_literal: true

require "redis_client"
require "redis_client/ruby_connection"
require_relative "../sentinel_redis"

# For programs that have redis-client (0.22 or newer) already: Sidekiq, and by redis-rb Rails. They go on as they are, with
# redis-client's values and errors, and libsentinel finds the servers and follows each failover. Two ways lead here, to one
# connection:
#
#   RedisClient.sentinel(name: "mymaster", sentinels: [...], client_implementation: SentinelRedis::RedisClient)
#   RedisClient.sentinel(name: "mymaster", sentinels: [...], driver: :libsentinel)
class SentinelRedis
  class RedisClient < ::RedisClient
  end
end

require_relative "redis_client/settings"
require_relative "redis_client/failure"
require_relative "redis_client/following"
require_relative "redis_client/connection"

class SentinelRedis
  # A client of redis-client whose server is a service, not an address. Nothing is repeated above the library, whatever
  # reconnect_attempts says: a call waits out a failover by itself, for read_timeout at most.
  class RedisClient
    class << self
      # Takes the keywords of RedisClient.sentinel where there are sentinels, otherwise those of RedisClient.config, whose
      # custom: { libsentinel: { sentinels: [...], service: "mymaster" } } says where to go.
      def config(sentinels: nil, **keywords)
        sentinels ? sentinel(sentinels: sentinels, **keywords) : super(**keywords)
      end
    end

    def initialize(config, **)
      Following.over(config)
      super
    end

    # What redis-client has from 0.25 on.
    def nodes = [self].freeze
    def node_for(_key) = self
  end
end

RedisClient.register_driver(:libsentinel) { SentinelRedis::RedisClient::Connection }
