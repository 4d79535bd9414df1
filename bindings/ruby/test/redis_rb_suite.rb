# frozen_string_literal: true

# redis_rb_suite.rb proxy|driver|itself FOLDER: redis-rb's own tests of the folder, all of them, as clients-test.sh runs them:
# through sentinel-proxy, whose port that has written into them; by the driver :libsentinel; or, for comparison, by redis-client's
# own support of Sentinel. Fails when a test does that is not told here, and when one that is told here does not.
WAY, FOLDER = ARGV.shift(2)
require "sentinel_redis/redis_client" if WAY == "driver"
require "helper"
require "suite_comparison"

# What redis-rb itself does not keep with Sentinels, whoever reaches them: what is raised for a reply of a pipeline or of a
# transaction is redis-client's error and not its own; and the address is what a Sentinel says.
OF_SENTINEL = {
  "TestTransactions" => %w[raise_command_errors_when_reply_is_not_transformed
                           raise_command_errors_when_reply_is_transformed_from_int_to_boolean
                           raise_command_errors_when_reply_is_transformed_from_ok_to_boolean
                           raise_command_errors_when_reply_is_transformed_to_float
                           raise_command_errors_when_reply_is_transformed_to_floats
                           raise_command_errors_when_reply_is_transformed_to_hash
                           assignment_inside_multi_exec_block_with_delayed_command_errors
                           assignment_inside_multi_exec_block_with_immediate_command_errors],
  "TestPipeliningCommands" => %w[assignment_of_results_inside_the_block_with_errors
                                 futures_raise_when_command_errors_and_needs_transformation],
  "TestConnection" => %w[connection_information provides_a_meaningful_inspect],
}.freeze

# A socket of the library is for one database.
DATABASES = {
  "TestConnectionHandling" => %w[select],
  "TestCommandsOnValueTypes" => %w[copy move],
  "TestPipeliningCommands" => %w[pipeline_select],
  "TestDistributedConnectionHandling" => %w[select],
  "TestDistributedCommandsOnValueTypes" => %w[move],
  "TestDistributedKeyTags" => %w[distributes_keys_if_no_clustering_is_used allows_clustering_of_keys
                                 allows_passing_a_custom_tag_extractor],
}.freeze

# What is behind a socket is no connection of its own: it has no login, no name and no number at the server, and nothing that the
# server would say unasked.
CONNECTIONS = {
  "TestConnectionHandling" => %w[auth_for_acl],
  "TestRemoteServerControlCommands" => %w[client_kill monitor_returns_value_for_break],
  "TestInternals" => %w[can_be_duped_to_create_a_new_connection],
  "TestDistributedInternals" => %w[can_be_duped_to_create_a_new_connection],
}.freeze

KNOWN = { "proxy" => [DATABASES, CONNECTIONS], "driver" => [OF_SENTINEL, DATABASES, CONNECTIONS],
          "itself" => [OF_SENTINEL] }.fetch(WAY)

# What holds or does not by chance, straight at a server too: a thread is waited for that has given up the processor without a word
# to Ruby, which then sees nobody alive.
BY_CHANCE = %w[TestPublishSubscribe#test_subscribe_from_another_thread].freeze

# Not run at all: the first would not end, for it waits for a line of MONITOR; the second connects to another network.
LEFT_OUT = { "TestRemoteServerControlCommands" => %w[monitor_redis], "TestInternals" => %w[connection_timeout] }.freeze

unless WAY == "proxy"
  module Helper
    # Where a test names an address, it is for that one.
    module Client
      def _new_client(options = {})
        return Redis.new(_format_options(options)) if options.key?(:port) || options.key?(:path)

        sentinels = ENV.fetch("SENTINELS").split(",").map { |address| "redis://#{address}" }
        Redis.new({ name: ENV.fetch("SERVICE"), sentinels: sentinels, db: DB, timeout: TIMEOUT,
                    driver: WAY == "driver" ? :libsentinel : :ruby }.merge(options))
      end

      # Where there is more than one database.
      def init(redis)
        redis.flushall if WAY == "itself"
        super
      end
    end
  end
end

SuiteComparison.report("redis-rb, #{FOLDER}, #{WAY}", KNOWN, by_chance: BY_CHANCE, least: 200)

Dir["#{FOLDER}/*_test.rb"].sort.each { |file| require File.expand_path(file) }
LEFT_OUT.each do |test, names|
  names.each { |name| Object.const_get(test).remove_method("test_#{name}") if Object.const_defined?(test) }
end
