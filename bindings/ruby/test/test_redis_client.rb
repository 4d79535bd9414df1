# frozen_string_literal: true

require_relative "helper"

# redis-client, and connection_pool, which it needs: as tests/scripts/ruby-peers.sh finds them. Without, all of this is skipped.
REDIS_CLIENT =
  begin
    require "sentinel_redis/redis_client"
    true
  rescue LoadError => e
    raise unless %w[redis_client connection_pool].include?(e.path)

    false
  end

# What both seams have in common, and where they begin.
module RedisClientSeams
  # A script that runs so long: less than after what the Sentinels find the server down. Since 7.2 TIME stands still inside of
  # scripts; before, some servers have no clock of Lua's.
  def busy(seconds)
    "local has, clock = pcall(function() return os.clock end) " \
      "local function time() local t = redis.call('TIME') return t[1] + t[2] / 1000000 end " \
      "local now = has and clock or time " \
      "local till = now() + #{seconds} repeat until now() >= till return 1"
  end

  include Topology

  SEAMS = { implementation: -> { { client_implementation: SentinelRedis::RedisClient } }, driver: -> { { driver: :libsentinel } } }

  def setup
    skip "redis-client is not installed (ruby-redis-client)" unless REDIS_CLIENT
  end

  def addresses = sentinels.map { |address| address.split(":").then { |host, port| { host: host, port: Integer(port) } } }

  def config(**keywords)
    seam = SEAMS.fetch(keywords.delete(:seam) || :implementation).call
    RedisClient.sentinel(name: service, sentinels: addresses, timeout: 10, **seam, **keywords)
  end

  def client(**keywords) = config(**keywords).new_client

  def each_seam
    SEAMS.each_key { |seam| yield seam, client(seam: seam) }
  end
end

class TestRedisClient < Minitest::Test
  include RedisClientSeams

  def test_both_seams_are_clients_of_redis_client
    each_seam do |seam, redis|
      assert_kind_of RedisClient, redis
      assert_equal "OK", redis.call("SET", "rc:name", "one", ex: 60)
      assert_equal "one", redis.call_v(["GET", :"rc:name"])
      assert_equal 3, redis.call("GET", "rc:name", &:size)
      assert_equal [1, 1], [redis.size, redis.with { |itself| itself.call("DEL", "rc:name") }]
      assert_equal 1, redis.call_once("INCR", "rc:#{seam}")
      assert_equal 2, redis.call_once_v(["INCR", "rc:#{seam}"])
      redis.call("DEL", "rc:#{seam}")
      assert_predicate redis, :connected?
      assert_equal "redis://#{lab("primary")}", redis.config.server_url
      assert_operator redis.measure_round_trip_delay, :>, 0.0
      2.times { redis.close }
      refute_predicate redis, :connected?
      assert_equal "PONG", redis.call("PING")
    end
  end

  def test_is_what_sentinel_and_config_and_new_make
    assert_instance_of SentinelRedis::RedisClient, SentinelRedis::RedisClient.new(name: service, sentinels: addresses)
    named = SentinelRedis::RedisClient.sentinel(url: "redis://#{service}/3", sentinels: addresses, id: "rc-id").new_client
    assert_equal ["rc-id", 3], [named.id, named.db]
    assert_match(/ name=rc-id .* db=3 /, named.call("CLIENT", "LIST"))
    assert_match(%r{\Aredis://[\d.:]+/3\z}, named.server_url)
    told = RedisClient.config(client_implementation: SentinelRedis::RedisClient,
                              custom: { libsentinel: { "sentinels" => sentinels, service: service, role: :replica } })
    assert_equal "slave", told.new_client.call("ROLE").first
    assert_equal [named], named.nodes
    assert_same named, named.node_for("key")
  end

  def test_replicas_are_asked_for_by_role
    assert_equal "slave", client(role: :replica).call("ROLE").first
    assert_equal "slave", client(role: :slave, seam: :driver).call("ROLE").first
  end

  def test_values_are_those_of_redis_client
    redis = client
    redis.call("DEL", "rc:values", "rc:set", "rc:hash", "rc:zset")
    redis.call("SADD", "rc:set", "a")
    redis.call("HSET", "rc:hash", { "bar" => 1 })
    redis.call("ZADD", "rc:zset", 1.5, "a")
    assert_equal ["a"], redis.call("SMEMBERS", "rc:set")
    assert_equal({ "bar" => "1" }, redis.call("HGETALL", "rc:hash"))
    assert_equal 1.5, redis.call("ZSCORE", "rc:zset", "a")
    assert_nil redis.call("GET", "rc:values")
    assert_predicate redis.call("SET", "rc:values", "h\u00e9"), :frozen?
    assert_equal [Encoding::UTF_8, "h\u00e9"], redis.call("GET", "rc:values").then { |text| [text.encoding, text] }
    redis.call("SET", "rc:values", "\xff\x00".b)
    assert_equal [Encoding::BINARY, "\xff\x00".b], redis.call("GET", "rc:values").then { |text| [text.encoding, text] }
    assert_equal "# Server", redis.call("INFO")[0..7]
    assert_equal ["bar", "1"], client(protocol: 2).call("HGETALL", "rc:hash")
    assert_raises(TypeError) { redis.call("SET", "rc:values", nil) }
  end

  def test_pipelines_and_transactions
    each_seam do |_, redis|
      redis.call("DEL", "rc:n")
      assert_equal ["OK", 2], (redis.pipelined { |p| p.call("SET", "rc:n", 1); p.call("INCR", "rc:n") })
      assert_equal [3, "3"], (redis.multi { |t| t.call("INCR", "rc:n"); t.call("GET", "rc:n") })
      mixed = redis.pipelined(exception: false) { |p| p.call("NOTHING"); p.call("GET", "rc:n") }
      assert_kind_of RedisClient::CommandError, mixed.first
      assert_equal ["NOTHING"], mixed.first.command
      assert_equal "3", mixed.last
      error = assert_raises(RedisClient::CommandError) { redis.multi { |t| t.call("NOTHING"); t.call("INCR", "rc:n") } }
      assert_includes error.message, "NOTHING"
      # A key that is watched was changed: EXEC is nil.
      aborted = redis.multi(watch: ["rc:n"]) do |transaction|
        client.call("SET", "rc:n", 10)
        transaction.call("INCR", "rc:n")
      end
      assert_nil aborted
      assert_equal [11], (redis.multi(watch: ["rc:n"]) { |t| t.call("INCR", "rc:n") })
    end
  end

  def test_walks
    redis = client
    redis.call("FLUSHDB")
    names = Array.new(100) { |i| "rc:#{i}" }
    redis.call("MSET", *names.zip(names).flatten)
    redis.call("SADD", "walk:set", *names)
    redis.call("HSET", "walk:hash", *names.zip(names).flatten)
    redis.call("ZADD", "walk:zset", *(0...100).zip(names).flatten)
    assert_equal names.sort, redis.scan("MATCH", "rc:*", count: 10).to_a.sort
    found = []
    assert_nil(redis.scan(match: "rc:*") { |key| found << key })
    assert_equal names.sort, found.sort
    assert_equal names.sort, redis.sscan("walk:set").to_a.sort
    assert_equal names.zip(names).sort, redis.hscan("walk:hash").to_a.sort
    pairs = []
    redis.zscan("walk:zset") { |*pair| pairs << pair }
    assert_equal names.each_with_index.map { |name, i| [name, i.to_s] }.sort, pairs.sort
  end

  def test_a_pool
    pool = config.new_pool(timeout: 0.05, size: 1)
    assert_equal ["PONG", 1], [pool.call("PING"), pool.size]
    pool.with do
      assert_raises(RedisClient::CheckoutTimeoutError) { Thread.new { pool.call("PING") }.tap { |t| t.report_on_exception = false }.value }
    end
    2.times { pool.close }
  end

  def test_blocking_calls
    redis = client(timeout: 0.3)
    # The time of the call is for what comes beside the wait.
    assert_nil redis.blocking_call(0.25, "BRPOP", "rc:none", 0.35)
    waiting = Thread.new { client(timeout: 0.3).blocking_call(false, "BRPOP", "rc:list", 0) }
    eventually("nobody waits") { blocked_clients.positive? }
    # Longer than the timeout of a call.
    assert_nil waiting.join(0.4)
    redis.call("LPUSH", "rc:list", "token")
    assert_equal ["rc:list", "token"], waiting.value
    # The server has a longer time than the program.
    assert_raises(RedisClient::ReadTimeoutError) { redis.blocking_call(0.1, "BRPOP", "rc:none", 30) }
    assert_equal "PONG", redis.call("PING")
    eventually("a wait that was given up goes on") { blocked_clients.zero? }
  end

  def test_a_subscription
    each_seam do |_, redis|
      subscription = redis.pubsub
      assert_nil subscription.call("SUBSCRIBE", "rc:channel")
      assert_equal ["subscribe", "rc:channel", 1], subscription.next_event(5)
      assert_nil subscription.next_event(0.01)
      redis.call("PUBLISH", "rc:channel", "told")
      assert_equal ["message", "rc:channel", "told"], subscription.next_event(5)
      subscription.call_v(["PSUBSCRIBE", "rc:*"])
      assert_equal ["psubscribe", "rc:*", 2], subscription.next_event(5)
      assert_same subscription, subscription.close
      assert_raises(RedisClient::ConnectionError) { subscription.next_event }
    end
  end

  def test_a_timeout_may_be_changed
    redis = client
    redis.call("PING")
    # Time enough for its new connection on a busy machine, and too little for Sentinels to think the server dead.
    redis.timeout = 0.25
    assert_equal [0.25] * 3, [redis.connect_timeout, redis.read_timeout, redis.write_timeout]
    error = assert_raises(RedisClient::ReadTimeoutError) { redis.call("EVAL", busy(0.4), 0) }
    assert_match(/\ATIMEOUT .* \(redis:/, error.message)
    redis.read_timeout = 10
    assert_equal 1, redis.call("EVAL", busy(0.3), 0)
  end

  # Nobody waits for the next answer of a connection whose last one did not come.
  def test_an_answer_that_was_given_up_is_not_another_ones
    redis = client
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { redis.call("EVAL", "#{busy(0.2)}0", 0) } }
    assert_equal "mine", redis.call("ECHO", "mine")
  end

  def test_the_middlewares_hear_of_it
    heard = []
    middleware = Module.new do
      define_method(:connect) { |config, &block| heard << :connect; super(config, &block) }
      define_method(:call) { |command, config, &block| heard << command; super(command, config, &block) }
    end
    each_seam do |seam, _|
      client(seam: seam, middlewares: [middleware]).call("GET", "rc:none")
      assert_equal [:connect, ["GET", "rc:none"]], heard
      heard.clear
    end
  end

  def test_a_child_has_a_connection_of_its_own
    redis = client
    redis.call("SET", "rc:fork", "1")
    child = fork do
      same = Array.new(50) { redis.call("GET", "rc:fork") }.uniq == ["1"]
      redis.close
      exit!(same ? 0 : 1)
    end
    assert_equal ["PONG"], Array.new(50) { redis.call("PING") }.uniq
    assert_predicate Process.wait2(child).last, :success?
    assert_equal "1", redis.call("GET", "rc:fork")
  end

  def test_equal_configurations_share_their_connections
    each_seam { |_, redis| redis.call("PING") }
    same = SEAMS.keys.map { |seam| config(seam: seam).tap { |made| made.new_client.call("PING") }.following(10_000) }
    assert_same(*same)
    other = config(db: 1).tap { |made| made.new_client.call("PING") }
    refute_same same.first, other.following(10_000)
  end

  # In a child, which has no threads of other tests.
  def test_what_no_configuration_holds_is_freed
    child = fork do
      threads = -> { Dir.children("/proc/self/task").size }
      redis = client
      redis.call("PING")
      before = threads.call
      20.times { |i| config(custom: { libsentinel: { max_pending: 1000 + i } }).new_client.call("PING") }
      assert_operator threads.call, :>, before + 12
      eventually("the deployments of configurations that are gone stay") do
        GC.start
        # The next one looks what is gone.
        config.new_client.call("PING")
        threads.call < before + 10
      end
      assert_equal "PONG", redis.call("PING")
      exit!(0)
    rescue Minitest::Assertion => e
      warn e.message
      exit!(1)
    end
    assert_predicate Process.wait2(child).last, :success?
  end

  def test_no_password_is_shown
    secret = ->(_) { "hidden" }
    shown = client(username: "default", password: secret, sentinel_password: secret)
    refute_includes shown.config.inspect, "hidden"
  end

  def test_an_address_alone_is_for_redis_client_itself
    host, port = lab("primary").split(":")
    plain = RedisClient.config(host: host, port: Integer(port), driver: :libsentinel).new_client
    assert_equal "PONG", plain.call("PING")
    assert_instance_of RedisClient::RubyConnection, plain.instance_variable_get(:@raw_connection)
  end
end

class TestRedisClientErrors < Minitest::Test
  include RedisClientSeams

  def test_a_service_that_nobody_knows
    each_seam do |seam, _|
      tries = 0
      counting = Module.new { define_method(:connect) { |config, &block| tries += 1; super(config, &block) } }
      lost = client(name: "nobody", seam: seam, timeout: 0.2, reconnect_attempts: 3, middlewares: [counting])
      2.times do
        error = assert_raises(RedisClient::CannotConnectError) { lost.call("PING") }
        assert_match(/no primary of service "nobody"/, error.message)
      end
      # Nothing is repeated above the library.
      assert_equal 2, tries
    end
  end

  def test_sentinels_that_are_not_there
    begun = SentinelRedis::Inbox.now
    free = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
    lost = SentinelRedis::RedisClient.new(name: service, sentinels: [{ host: "127.0.0.1", port: free }], timeout: 0.3)
    assert_raises(RedisClient::CannotConnectError) { lost.pipelined { |p| p.call("GET", "x") } }
    assert_raises(RedisClient::CannotConnectError) { lost.server_url }
    assert_operator SentinelRedis::Inbox.now - begun, :<, 3
  end

  def test_tls_that_the_server_does_not_speak
    secret = RedisClient.sentinel(name: service, sentinels: addresses, timeout: 1, ssl: true,
                                  client_implementation: SentinelRedis::RedisClient).new_client
    assert_raises(RedisClient::CannotConnectError) { secret.call("GET", "x") }
  end

  def test_the_words_of_the_server_are_kept
    redis = client
    redis.call("SET", "rc:text", "x")
    error = assert_raises(RedisClient::CommandError) { redis.call("EVALSHA", "f" * 40, 0) }
    assert_match(/\ANOSCRIPT No matching script/, error.message)
    error = assert_raises(RedisClient::WrongTypeError) { redis.call("SADD", "rc:text", "y") }
    assert_equal %w[SADD rc:text y], error.command
    assert_match(/\AWRONGTYPE .* \(redis:.*:\d+\)\z/, error.message)
    error = assert_raises(RedisClient::CommandError) { redis.call("EVAL", "return redis.error_reply('UNBLOCKED by me')", 0) }
    assert_match(/\AUNBLOCKED by me/, error.message)
    # A script may say anything.
    error = assert_raises(RedisClient::CommandError) { redis.call("EVAL", "return redis.error_reply('TIMEOUT mine')", 0) }
    assert_match(/\ATIMEOUT mine/, error.message)
    refused = client(role: :replica, custom: { libsentinel: { replica__fallback_to_primary: false } })
    assert_raises(RedisClient::ReadOnlyError) { refused.call("SET", "rc:text", "y") }
  end

  def test_a_login_that_is_refused
    redis = client
    redis.call("ACL", "SETUSER", "rc-user", "on", ">right", "~*", "+@all")
    password = "wrong"
    user = client(username: "rc-user", password: ->(_) { password }, timeout: 1)
    error = assert_raises(RedisClient::AuthenticationError) { user.call("GET", "x") }
    assert_match(/\AWRONGPASS /, error.message)
    # A Proc is asked again, and the server too.
    password = "right"
    assert_equal "rc-user", user.call("ACL", "WHOAMI")
    redis.call("ACL", "SETUSER", "rc-user", "off")
    fixed = client(username: "rc-user", password: "right", db: 2, seam: :driver)
    assert_raises(RedisClient::AuthenticationError) { fixed.call("GET", "x") }
    redis.call("ACL", "SETUSER", "rc-user", "on")
    assert_equal "rc-user", fixed.call("ACL", "WHOAMI")
    redis.call("ACL", "SETUSER", "rc-user", "-set")
    assert_raises(RedisClient::PermissionError) { user.call("SET", "rc:text", "y") }
  ensure
    redis&.call("ACL", "DELUSER", "rc-user")
  end

  def test_a_pool_of_the_library_that_is_empty
    few = config(custom: { libsentinel: { pool__max_connections: 1, timeout_ms: 300 } })
    waiting = Thread.new { few.new_client.blocking_call(false, "BRPOP", "rc:pool", 0) }
    eventually("nobody waits") { blocked_clients.positive? }
    other = few.new_client
    assert_raises(RedisClient::CheckoutTimeoutError) { other.blocking_call(0.1, "BRPOP", "rc:pool", 0.1) }
    other.call("LPUSH", "rc:pool", "x")
    waiting.join
  end

  def test_the_time_of_a_call_may_be_an_option
    redis = client(timeout: 0.05, custom: { libsentinel: { "timeout_ms" => 10_000 } })
    assert_equal 1, redis.call("EVAL", busy(0.35), 0)
  end

  def test_what_the_library_cannot_take_is_named
    { "not a Hash" => [{ custom: { libsentinel: 3 } }, /libsentinel is a Hash/],
      "no option" => [{ custom: { libsentinel: { nonsense: 1 } } }, /nonsense/],
      "two logins" => [{ sentinels: [{ host: "a", password: "x" }, { host: "b", password: "y" }] }, /one login/],
      "a path" => [{ sentinels: [{ path: "/tmp/x" }] }, %r{/tmp/x is a path}],
      "a certificate in memory" => [{ ssl: true, ssl_params: { cert_store: 1 } }, /cert_store/] }.each do |what, (keywords, words)|
      each_seam do |seam, _|
        error = assert_raises(ArgumentError, what) { client(seam: seam, **keywords).call("PING") }
        assert_match words, error.message
      end
    end
    error = assert_raises(ArgumentError) { RedisClient.config(client_implementation: SentinelRedis::RedisClient).new_client }
    assert_match(/goes by Sentinels/, error.message)
  end
end

# What Rails uses, by the driver alone.
class TestRedisRb < Minitest::Test
  include RedisClientSeams

  def setup
    super
    require "redis"
    skip "redis-rb 5 is not installed (ruby-redis)" if Redis::VERSION.to_i < 5
  rescue LoadError
    skip "redis-rb is not installed (ruby-redis)"
  end

  def redis(**keywords)
    # As it comes from YAML.
    Redis.new(name: service, sentinels: sentinels.map { |address| "redis://#{address}" }, driver: "libsentinel", timeout: 10, **keywords)
  end

  def test_calls_transactions_and_watch
    mine = redis
    mine.del("rb:n", "rb:hash", "rb:zset")
    mine.hset("rb:hash", { "bar" => "1" })
    mine.zadd("rb:zset", 1.5, "a")
    assert_equal [{ "bar" => "1" }, [["a", 1.5]]], [mine.hgetall("rb:hash"), mine.zrange("rb:zset", 0, -1, with_scores: true)]
    assert_equal [1, "1"], (mine.multi { |t| t.incr("rb:n"); t.get("rb:n") })
    assert_equal [2, "2"], (mine.pipelined { |p| p.incr("rb:n"); p.get("rb:n") })
    other = redis
    assert_nil(mine.watch("rb:n") { other.set("rb:n", 9); mine.multi { |t| t.incr("rb:n") } })
    assert_equal [10], (mine.watch("rb:n") { mine.multi { |t| t.incr("rb:n") } })
    assert_nil mine.brpop("rb:none", timeout: 0.1)
    assert_equal lab("primary"), mine.connection.fetch(:location)
  end

  def test_a_subscription
    heard = []
    mine = redis
    mine.subscribe("rb:channel") do |on|
      on.subscribe { Thread.new { redis.publish("rb:channel", "told") } }
      on.message do |channel, text|
        heard << [channel, text]
        mine.unsubscribe
      end
    end
    assert_equal [%w[rb:channel told]], heard
  end

  def test_errors
    error = assert_raises(Redis::CommandError) { redis.evalsha("f" * 40) }
    assert_match(/\ANOSCRIPT /, error.message)
    assert_raises(Redis::CannotConnectError) { redis(name: "nobody", timeout: 0.3).get("x") }
  end
end

class TestRedisClientFailover < Minitest::Test
  include RedisClientSeams

  def test_a_failover_that_is_ordered_is_not_seen
    redis = client
    old = lab("primary")
    redis.call("DEL", "rc:list", "rc:failover")
    subscription = client.pubsub
    subscription.call("SUBSCRIBE", "rc:channel")
    assert_equal "subscribe", subscription.next_event(5).first
    stop = false
    done = Array.new(SEAMS.size, 0)
    writers = SEAMS.keys.each_with_index.map do |seam, i|
      mine = client(seam: seam)
      Thread.new { done[i] += mine.pipelined { |p| p.call("INCR", "rc:failover"); p.call("PING") }.size / 2 until stop }
    end
    eventually("nothing is written") { done.all? { |count| count > 500 } }
    lab("fail-over")
    lab(["wait-primary-change", old])
    before = done.sum
    eventually("nothing is written any more") { done.sum > before + 100 }
    lab("wait-settled")
    stop = true
    writers.each(&:join)
    assert_equal done.sum, redis.call("GET", "rc:failover").to_i
    refute_equal "redis://#{old}", redis.config.server_url
    eventually("the subscription was left behind") do
      redis.call("PUBLISH", "rc:channel", "told").positive? && subscription.next_event(1)
    end
  ensure
    stop = true
  end

  def test_a_primary_that_is_killed
    redis = client
    old = lab("primary")
    redis.call("SET", "rc:killed", "before")
    impatient = client(timeout: 0.1)
    impatient.call("GET", "rc:killed")
    lab("kill-primary")
    assert_raises(RedisClient::CannotConnectError) { impatient.call("GET", "rc:killed") }
    # What was not under way does not fail.
    each_seam { |seam, other| assert_equal "OK", other.call("SET", "rc:killed", seam) }
    assert_equal "driver", redis.call("GET", "rc:killed")
    refute_equal "redis://#{old}", redis.server_url
    assert_equal "primary", redis.config.following(10_000).node.role.to_s
  ensure
    lab("restart-killed")
    lab("wait-settled")
  end
end
