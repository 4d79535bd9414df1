# frozen_string_literal: true

class SentinelRedis
  class RedisClient
    # What configurations of redis-client that ask for the same have together: redis-rb makes one for each client.
    class Shared
      OPENING = Mutex.new
      ALL = {}
      GONE = [] # keys of configurations that were collected
      private_constant :OPENING, :ALL, :GONE

      # That of the settings, from now on held by this configuration.
      def self.of(settings, config)
        OPENING.synchronize do
          ALL.delete(GONE.shift)&.leave(ALL) until GONE.empty?
          shared = ALL[settings.key] ||= new(settings)
          ObjectSpace.define_finalizer(config, forgetting(settings.key))
          shared.join
        end
      end

      # Refers to no configuration.
      def self.forgetting(key) = proc { GONE.push(key) }

      def initialize(settings)
        @settings = settings
        @deployment = SentinelRedis.new(sentinels: settings.sentinels, **settings.options)
        @clients = {}
        @login = settings.login
        @holders = 0
      end

      def join
        @holders += 1
        self
      end

      # The library's handles are freed with the last that refers to them.
      def leave(all)
        @holders -= 1
        all[@settings.key] = self if @holders.positive?
      end

      # The library's client whose calls take so many milliseconds at most; -1: any time.
      def client(limit)
        @clients[limit] ||= @deployment.public_send(@settings.role, @settings.service, timeout_ms: limit)
      end

      # Without the login.
      def inspect = "#<#{self.class} #{@settings.role} of #{@settings.service}>"

      # The node that serves now, if there is one. Does no I/O.
      def node = @clients.each_value.lazy.filter_map(&:node).first

      # A password that is a Proc may have another answer by now.
      def renew(login)
        return if login == @login

        @deployment.update_credentials(login.last, username: login.first)
        @login = login
      end

      # The server may take it by now: the next one who asks has it tried at once, and not only after a pause.
      def refused
        @login = nil if @login&.last
      end
    end

    # A configuration of redis-client whose server is found by the library.
    module Following
      # Makes one of a configuration, once.
      def self.over(config)
        return config if config.is_a?(Following)

        settings = Settings.new(config)
        config.instance_variable_set(:@libsentinel, Shared.of(settings, config))
        config.instance_variable_set(:@libsentinel_timeout_ms, settings.timeout_ms)
        config.extend(Following)
      rescue UsageError => e
        raise ArgumentError, e.message
      end

      def driver = Connection

      # The library's client whose calls take so many milliseconds at most; -1: any time.
      def following(limit) = @libsentinel.client(limit)

      # Milliseconds for a call, of a client with this read_timeout.
      def limit_of(read_timeout) = @libsentinel_timeout_ms || Settings.milliseconds(read_timeout)

      def renew_login = @libsentinel.renew(Settings.login(self))
      def login_refused = @libsentinel.refused

      # The library looks at the role of each node itself, repeats what may be repeated, and has no old address to forget.
      def sentinel? = false
      def check_role!(_role) = nil
      def retriable?(_attempt) = false
      def retry_connecting?(_attempt, _error) = false
      def reset = nil

      # What else there is to say on a connection, the library says.
      def connection_prelude = protocol == 3 ? [%w[HELLO 3]] : []

      # Whether there is a node to name. Does no I/O.
      def resolved? = !@libsentinel.node.nil?

      def host = serving!.host
      def port = serving!.port
      def path = nil
      def server_key = [nil, host, port].freeze

      # redis-client's own configuration of the node, for what else it asks.
      private def config = ::RedisClient::Config.new(host: host, port: port, db: db, ssl: ssl)

      private

      # Of a client that has not called yet: it is found now.
      def serving!
        @libsentinel.node || following(limit_of(read_timeout)).connect.node || raise(::RedisClient::CannotConnectError, "no node serves")
      rescue SentinelRedis::Error => e
        raise Failure.to_connect(e)
      end
    end
  end
end
