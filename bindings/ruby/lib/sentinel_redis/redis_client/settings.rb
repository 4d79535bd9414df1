# frozen_string_literal: true

class SentinelRedis
  class RedisClient
    # What a configuration of redis-client means for the library. What has no meaning there is an ArgumentError that names it.
    class Settings
      # A client of redis-client has a connection of its own, so their number is bounded by the program already.
      MAX_CONNECTIONS = 4096
      ROLES = { "master" => :primary, "primary" => :primary, "slave" => :replica, "replica" => :replica }.freeze
      TLS = { ca_file: "ca_file", cert: "cert_file", key: "key_file" }.freeze
      private_constant :MAX_CONNECTIONS, :ROLES, :TLS

      # Where the Sentinels are, the name of the service, :primary or :replica, and the library's options.
      attr_reader :sentinels, :service, :role, :options
      # User and password at the data nodes.
      attr_reader :login
      # Milliseconds for a call, where custom: says so; nil otherwise.
      attr_reader :timeout_ms

      # Whether there are Sentinels to ask, and not an address alone.
      def self.any?(config) = config.is_a?(::RedisClient::SentinelConfig) || config.custom&.key?(:libsentinel)

      def initialize(config)
        @custom = (config.custom || {}).fetch(:libsentinel, {})
        raise ArgumentError, "custom: libsentinel is a Hash, not #{@custom.inspect}" unless @custom.is_a?(Hash)

        @custom = @custom.transform_keys(&:to_sym)
        @options = { pool__max_connections: MAX_CONNECTIONS }
        config.is_a?(::RedisClient::SentinelConfig) ? asked_for(config) : told(config)
        of_nodes(config)
        @timeout_ms = @custom.delete(:timeout_ms)
        @options.update(@custom)
      end

      # Without the options, which hold passwords.
      def inspect = "#<#{self.class} #{role} of #{service}>"

      # Equal where a deployment can serve both.
      def key = [sentinels, service, role, options]

      # The login at the data nodes, as it is now: a password may be a Proc.
      def self.login(config)
        # The reader gives "default" where no user was named, by which an old server would refuse the password.
        [config.instance_variable_get(:@username), secret(config)]
      end

      def self.secret(config)
        password = config.password
        password.respond_to?(:call) ? password.call(config.username) : password
      end

      # Milliseconds of a timeout of redis-client; -1 for none.
      def self.milliseconds(seconds)
        seconds && seconds.positive? ? [(seconds * 1000).ceil, 1].max : -1
      end

      private

      # By RedisClient.sentinel.
      def asked_for(config)
        @service = config.name
        # It has no reader.
        @role = config.instance_variable_get(:@role).to_s.then { |role| ROLES.fetch(role) }
        given = config.sentinels
        raise ArgumentError, "sentinels: is empty" if given.empty?

        @sentinels = given.map do |sentinel|
          raise ArgumentError, "sentinels: #{sentinel.path} is a path, libsentinel takes hosts and ports" if sentinel.path

          { host: sentinel.host, port: sentinel.port }
        end
        of_sentinels(given)
      end

      def of_sentinels(given)
        logins = given.map { |sentinel| Settings.login(sentinel) }.uniq
        raise ArgumentError, "sentinels: libsentinel takes one login for all of them" if logins.size > 1

        username, password = logins.first
        @options[:sentinel__password] = password if password
        @options[:sentinel__username] = username if username && password
        tls(given.first, "sentinel__tls")
      end

      # By RedisClient.config.
      def told(config)
        @sentinels = @custom.delete(:sentinels)
        unless @sentinels
          raise ArgumentError, "SentinelRedis::RedisClient goes by Sentinels: use RedisClient.sentinel(name:, sentinels:), " \
                               "or custom: { libsentinel: { sentinels: [...], service: \"...\" } }"
        end
        raise ArgumentError, "path: #{config.path} is no service of Sentinels" if config.path

        @service = @custom.delete(:service) or raise ArgumentError, "custom: libsentinel needs a service"
        role = @custom.delete(:role) || :primary
        @role = ROLES.fetch(role.to_s) { raise ArgumentError, "custom: libsentinel: role is primary or replica, not #{role}" }
      end

      def of_nodes(config)
        @login = Settings.login(config)
        username, password = @login
        @options[:password] = password if password
        @options[:username] = username if username && password
        @options[:database] = config.db if config.db&.positive?
        @options[:protocol] = config.protocol
        @options[:client_name] = config.id if config.id
        connect = Settings.milliseconds(config.connect_timeout)
        @options[:connect_timeout_ms] = connect if connect.positive?
        tls(config, "tls")
      end

      def tls(config, key)
        return unless config.ssl

        @options[key.to_sym] = true
        (config.ssl_params || {}).each do |name, value|
          name = name.to_sym
          if TLS.key?(name) && value.is_a?(String)
            @options[:"#{key}__#{TLS.fetch(name)}"] = value
          elsif name == :verify_mode
            @options[:"#{key}__verify"] = value == OpenSSL::SSL::VERIFY_NONE ? "none" : "full"
          else
            raise ArgumentError, "ssl_params: libsentinel takes ca_file, cert and key as names of files, and verify_mode; " \
                                 "not #{name}: a #{value.class}"
          end
        end
      end
    end
  end
end
