# frozen_string_literal: true

# sidekiq_suite.rb proxy|driver FOLDER: Sidekiq's own tests, of its sources in FOLDER, as clients-test.sh runs them: through
# sentinel-proxy, which is REDIS_URL, or by the driver :libsentinel. Fails when a test does that is not told here.
#
# Sidekiq, and with Rails what its tests ask of that, are found by -I; bundler, and maxitest beyond what stands here, are not needed.
WAY, FOLDER = ARGV.shift(2)
HELPER = "#{FOLDER}/test/helper.rb"
REDIS = { name: ENV.fetch("SERVICE"), sentinels: ENV.fetch("SENTINELS").split(",").map { |address| "redis://#{address}" },
          driver: :libsentinel, timeout: 15 }.freeze

require_relative "../../../tests/scripts/ruby_peers"
require "minitest/autorun"
require "minitest/mock"
require "logger"
require "suite_comparison"

# What maxitest adds that these tests use: `before(:all)` runs before the first test of its class only.
module BeforeAll
  def before(type = nil, &block)
    return super unless type == :all

    done = false
    prepend(Module.new do
      define_method(:setup) do
        instance_exec(&block) unless done
        done = true
        super()
      end
    end)
  end
end
Minitest::Spec::DSL.prepend(BeforeAll)

%w[rails action_mailer active_record csv rack/session sidekiq].each { |library| require library }
if WAY == "driver"
  require "sentinel_redis/redis_client"
  # What a program says once, each of these tests would have to say.
  Sidekiq::Config.prepend(Module.new { def initialize(*) = super.tap { self.redis = REDIS } })
end

# A socket of the library is for one database.
SHARDING = { "Sharding::client" => ["0001_redirects the middleware pool to the current shard",
                                    "0002_routes jobs to the proper shard"] }.freeze

# A library that Debian does not have.
DEFERRED = { "Sidekiq::TransactionAwareClient::ActiveRecord" => ["0002_can defer push within active transactions",
                                                                 "0003_defers push when enabled on a per job basis",
                                                                 "0004_pushes immediately when disabled on a per job basis"] }.freeze

KNOWN = begin
  require "after_commit_everywhere"
  [SHARDING]
rescue LoadError
  [SHARDING, DEFERRED]
end

# These ask what is counted for a minute, and one may end between.
BY_CHANCE = ["Sidekiq::Metrics::querying#test_0003_fetches top job data"].freeze

# Whether Sidekiq goes the way that is tested.
class WayTest < Minitest::Test
  def test_the_way
    config = Sidekiq::Config.new
    config.logger = Logger.new(IO::NULL)
    driver = config.redis { |redis| redis.config.driver.name }
    assert_equal WAY == "driver" ? "SentinelRedis::RedisClient::Connection" : "RedisClient::RubyConnection", driver
  end
end

SuiteComparison.report("Sidekiq, #{WAY}", KNOWN, by_chance: BY_CHANCE, least: 500)
# Its helper but for the lines that ask bundler and maxitest for what is here already.
$LOADED_FEATURES << HELPER
own = File.readlines(HELPER).reject { |line| line.match?(/\A(require "(bundler|minitest|maxitest)|Bundler\.)/) }
TOPLEVEL_BINDING.eval(own.join, HELPER)
Dir["#{FOLDER}/test/**/*_test.rb"].sort.each { |file| require file }
