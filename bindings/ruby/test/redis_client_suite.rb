# frozen_string_literal: true

# redis_client_suite.rb driver|itself FOLDER: redis-client's own tests, below FOLDER, as clients-test.sh runs them: by the driver
# :libsentinel, or, for comparison, by redis-client's own support of Sentinel. Fails when a test does that is not told here, and when
# one that is told here does not.
#
# Those of its connection itself, of which it has one and the driver has another, are not among them (connection_test.rb), nor those
# of Ractors, in which no extension of ffi can be.
WAY, FOLDER = ARGV.shift(2)
require "redis-client"
require "redis_client/decorator"
require "sentinel_redis/redis_client" if WAY == "driver"
require "minitest/autorun"
require "minitest/mock"
require "suite_comparison"

# Each of them runs the tests that all kinds of clients share.
SHARING = %w[RedisClientTest RedisPooledClientTest RedisClient::DecoratorTest RedisClient::PooledDecoratorTest].freeze

def for_all(*names) = SHARING.to_h { |test| [test, names] }

# With Sentinels the configuration is of another class, the address is what they say, and the time is that of this file.
OF_SENTINELS = [for_all("config"), { "RedisClientTest" => %w[path port server_url timeout] }].freeze

KNOWN = OF_SENTINELS + {
  # What a server says to a command behind MULTI comes with EXEC, and is redis-client's error of that; a socket of the library is
  # for one database.
  "driver" => [for_all("multi_error"), { "RedisClientTest" => %w[preselect_database] }],
  # A user may not ask for the role; what Sentinels answer passes the middlewares.
  "itself" => [for_all("authentication"), { "RedisClient::MiddlewaresTest" => %w[instance_middleware] }]
}.fetch(WAY)

# A message that is published before SUBSCRIBE was answered may be heard or not.
BY_CHANCE = if WAY == "driver"
              %w[subscribe psubscribe connection_lost].map { |name| "RedisClient::SubscriptionsTest#test_#{name}" }
            else
              []
            end

# Where redis-client's own helpers look.
module Servers
  HOST = "127.0.0.1"
  REDIS_TCP_PORT = 1
  REDIS_SOCKET_FILE = "/nowhere"
end

# A configuration of Sentinels wherever the tests make one.
class RedisClient
  singleton_class.prepend(Module.new do
    def config(**keywords) = keywords.key?(:sentinels) ? sentinel(**keywords) : super
  end)
end

Dir["#{FOLDER}/shared/*.rb"].each { |file| require file }
require "#{FOLDER}/support/client_test_helper"

module ClientTestHelper
  module_function

  def tcp_config
    sentinels = ENV.fetch("SENTINELS").split(",").map { |address| "redis://#{address}" }
    driver = WAY == "driver" ? { driver: :libsentinel } : {}
    { name: ENV.fetch("SERVICE"), sentinels: sentinels, timeout: 15, **driver }
  end
end

SuiteComparison.report("redis-client, #{WAY}", KNOWN, by_chance: BY_CHANCE, least: 200)
(Dir["#{FOLDER}/*_test.rb", "#{FOLDER}/redis_client/*_test.rb"].sort -
  Dir["#{FOLDER}/redis_client/{connection,ractor}_test.rb"]).each { |file| require file }
