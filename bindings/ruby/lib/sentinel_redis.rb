# frozen_string_literal: true

require_relative "sentinel_redis/version"
require_relative "sentinel_redis/native"
require_relative "sentinel_redis/errors"
require_relative "sentinel_redis/reply"
require_relative "sentinel_redis/ticket"
require_relative "sentinel_redis/switchboard"
require_relative "sentinel_redis/connection"
require_relative "sentinel_redis/script"
require_relative "sentinel_redis/scan"
require_relative "sentinel_redis/client"
require_relative "sentinel_redis/fast"
require_relative "sentinel_redis/inbox"
require_relative "sentinel_redis/subscription"
require_relative "sentinel_redis/watch"

# A deployment: a set of Sentinels and the services they watch. One for a program is enough; any number of threads and
# fibers use it and its clients at once. Opening does no I/O. After fork a child opens its own handles with its first
# call, so a preforking server opens this before or after it forks.
#
#   redis = SentinelRedis.new("redis+sentinel://127.0.0.1:26379,127.0.0.1:26380/mymaster")
#   redis.primary.call("SET", "name", "value")
#   redis.replica.call("GET", "name")
class SentinelRedis
  include Native::Unique

  ROLES = Native.names("ROLE_")
  private_constant :ROLES

  # A server or a Sentinel, as it was at one moment.
  Node = Struct.new(:host, :port, :role) do
    def to_s = host.include?(":") ? "[#{host}]:#{port}" : "#{host}:#{port}"

    # The nodes of a list, which is freed.
    def self.take(list)
      Array.new(Native.nodes_len(list)) do |index|
        role = ROLES[Native.nodes_role(list, index)]
        new(Native.nodes_host(list, index), Native.nodes_port(list, index), role)
      end
    ensure
      Native.nodes_free(list)
    end
  end

  # Makes options for the library of keywords. A dot of a key is a double underscore: sentinel__password.
  module Options
    # An option of the library: its name, what it takes (:integer, :limit, :flag, :choice, :text, :user or :secret), its
    # default, the unit of its numbers ("ms", "s", "bytes" or ""), the words of a choice, its meaning, and for numbers the
    # least and the most. for_sentinels and for_clients say what it is for; without for_clients it is refused by primary
    # and replica.
    Key = Struct.new(:name, :kind, :default, :unit, :words, :help, :min, :max, :for_sentinels, :for_clients,
                     keyword_init: true) do
      # The keyword by which it is given.
      def keyword = name.gsub(".", "__").to_sym

      # Of what the library says, at this address.
      def self.read(address)
        field = lambda do |name|
          at, letter = Native::OPTIONS_KEY_FIELDS.fetch(name)
          address.get_bytes(at, [0].pack(letter).bytesize).unpack1(letter)
        end
        text = ->(name) { FFI::Pointer.new(field.call(name)).read_string.force_encoding(Encoding::UTF_8) }
        new(name: text.call(:name), kind: KINDS[field.call(:kind)], default: text.call(:default_value), unit: text.call(:unit),
            words: text.call(:words).split, help: text.call(:help), min: field.call(:min), max: field.call(:max),
            for_sentinels: field.call(:scope).anybits?(Native::SCOPE_DEPLOYMENT),
            for_clients: field.call(:scope).anybits?(Native::SCOPE_CLIENT)).freeze
      end
    end
    KINDS = Native.names("OPTION_")
    private_constant :KINDS

    # Every option of the library that is loaded, a Key each.
    def self.keys
      addresses = (0..).lazy.map { |index| Native.options_key(index) }
      addresses.take_while { |address| !address.null? }.map { |address| Key.read(address) }.to_a
    end

    # Given as bytes, and wiped by the library.
    SECRETS = keys.select { |key| %i[user secret].include?(key.kind) }.map(&:name).freeze

    def self.with(url = nil, sentinels: [], **keys)
      options = Native.undisturbed { Native::Handle.new(Native.options_new, Native.method(:options_free)) }
      Native.failing { |error| Native.options_parse_url(options, url, error) } if url
      addresses(sentinels).each do |host, port|
        Native.failing { |error| Native.options_add_sentinel(options, host, port, error) }
      end
      keys.each { |key, value| set(options, key.to_s.gsub("__", "."), value) }
      yield options
    end

    # Hosts and ports of "host:port", "host", or { host:, port: }, one or several.
    def self.addresses(sentinels)
      sentinels = [sentinels] unless sentinels.is_a?(Array)
      sentinels.map do |given|
        host, port = given.is_a?(Hash) ? given.transform_keys(&:to_sym).values_at(:host, :port) : split(given)
        port = Integer(port || 26_379, exception: false)
        unless host.is_a?(String) && !host.empty? && !host.include?("\0") && port&.between?(1, 65_535)
          raise UsageError.new("sentinels are \"host:port\" or { host:, port: }, not #{given.inspect}")
        end

        [host, port]
      end
    end

    def self.split(text)
      return [nil, nil] unless text.is_a?(String) && text.valid_encoding?

      text.match(/\A(?:\[([^\]]+)\]|([^:\[\]]+)|([0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*))(?::(\d+))?\z/) do |match|
        return [match[1] || match[2] || match[3], match[4]]
      end
    end
    private_class_method :addresses, :split

    def self.set(options, key, value)
      if SECRETS.include?(key)
        bytes = value.to_s.b
        Native.failing { |error| Native.options_set_secret(options, key, bytes, bytes.bytesize, error) }
      else
        text = { true => "1", false => "0" }.fetch(value, value).to_s
        Native.failing { |error| Native.options_set(options, key, text, error) }
      end
    end
  end

  # url: redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service[/database][?key=value&...]; or
  # sentinels: ["host:port", ...]. Every other keyword is an option of the library, such as timeout_ms: 500.
  def initialize(url = nil, **options)
    # Not shown: it may hold a password.
    raise UsageError.new("the URL is a String, not a #{url.class}") unless url.nil? || url.respond_to?(:to_str)

    @url = url
    @options = options
    @updates = {}
    @opening = Mutex.new
    @tickets = []
    @slots = []
    @endings = {}.compare_by_identity
    handle
  end

  # A client of the primary of a service; nil is the service of the URL. Keywords override the deployment's options.
  def primary(service = nil, **overrides) = Client.new(self, :primary_for, named(service), overrides)

  # A client of the replicas of a service: each command goes to one of them, and to the primary when there is none,
  # unless replica__fallback_to_primary is false.
  def replica(service = nil, **overrides) = Client.new(self, :replica_for, named(service), overrides)

  # Runs one command on the primary of the service of the URL; see Client#call.
  def call(...) = (@primary ||= primary).call(...)

  # The Node that the Sentinels name. Programs that use clients need none of this.
  def discover_primary(service = nil) = discover(:discover_primary, service).first
  def discover_replicas(service = nil) = discover(:discover_replicas, service)
  def discover_sentinels(service = nil) = discover(:discover_sentinels, service)

  # Replaces the login at the data nodes, and that at the Sentinels, without a restart and without a failed call: add
  # the new password at the servers, call this, take the old one away. username nil: the user "default". Clients that
  # were made with a login of their own keep it.
  def update_credentials(password, username: nil) = update(:update_credentials, username, password)
  def update_sentinel_credentials(password, username: nil) = update(:update_sentinel_credentials, username, password)

  # These Sentinels, each as "host:port", take the place of those given before; no call fails for it.
  def update_sentinels(*sentinels)
    renew(:update_sentinels) do |deployment|
      Options.with(sentinels: sentinels.flatten(1)) do |options|
        Native.failing { |error| Native.update_sentinels(deployment, options, error) }
      end
    end
  end

  # Every Sentinel and node as the library sees it now, and why, as JSON; sentinel.h says what is in it.
  def describe = told(:describe)

  # What the library has counted, in the text format of Prometheus.
  def metrics = told(:metrics_text)

  # What happens to the deployment from now on: primaries, replicas and Sentinels that change, connections. names are of
  # Watch::EVENTS, none for all but :connection. With a block, yields each Event until the block breaks; without, gives
  # the Watch.
  def watch(*names, &block)
    watch = Watch.new(handle, inbox(Watch::CAPACITY), names)
    return watch unless block

    begin
      watch.each(&block)
    ensure
      watch.close
    end
  end

  # Ends every call on the deployment and its clients with ClosedError.
  def close
    return if @closed

    deployment = handle
    @closed = true
    Native.close(deployment, 0)
    # A queue's descriptor tells of what is in it, and not of its end.
    @endings.keys.each(&:close)
    nil
  end

  # What it is, without the URL and the options, which hold passwords.
  def inspect = "#<#{self.class}#{" closed" if @closed}>"

  # For the library: the handle of this process.
  def handle
    return @handle if @pid == Process.pid

    # Forked: what was inherited is of no use here, and is freed with the objects that hold it.
    begin
      @opening.synchronize { @pid == Process.pid || reopen }
    rescue ThreadError
      # A trap handler may take no lock. Whom it has interrupted may be here too: what is opened last counts.
      reopen
    end
    @handle
  end

  # For the library: an Inbox, which ends with the deployment.
  def inbox(capacity)
    inbox = Inbox.new(handle, capacity)
    # No WeakMap: under Thread#raise and Thread#kill that of Ruby 3.1 also gives what has come where another object was.
    @endings[inbox.ending] = true
    ObjectSpace.define_finalizer(inbox, SentinelRedis.forgetting(@endings, inbox.ending))
    inbox
  end

  # Refers to no inbox.
  def self.forgetting(endings, ending) = proc { endings.delete(ending) }

  # For the library: what the extension has for calls that are not under way.
  attr_reader :slots

  # For the library: a Ticket that nobody else has until it is given back, or what all fibers share.
  def take_ticket
    return @tickets.pop || Ticket.new(handle) unless Fiber.scheduler

    deployment = handle
    return @switchboard if @switchboard&.deployment.equal?(deployment)

    @switchboard = Switchboard.new(deployment)
  end

  # One that is worn, or from before a fork, is of no more use.
  def give_ticket(ticket)
    return if ticket.is_a?(Switchboard)

    if ticket.deployment.equal?(@handle) && !ticket.worn?
      @tickets.push(ticket)
    else
      ticket.close
    end
  end

  private

  def named(service)
    return service if service.nil? || service.is_a?(String)
    return service.to_s if service.is_a?(Symbol)

    raise UsageError.new("a service is a String or Symbol, not #{service.inspect}")
  end

  # What the library tells of itself; it may grow meanwhile.
  def told(what)
    deployment = handle
    length = FFI::MemoryPointer.new(:size_t)
    size = 4096
    loop do
      buffer = FFI::MemoryPointer.new(:char, size)
      status = Native.public_send(what, deployment, buffer, size, length)
      return buffer.read_bytes(length.read(:size_t)).force_encoding(Encoding::UTF_8) if status == Native::OK
      raise Error.take(status, FFI::Pointer::NULL) unless status == Native::ERR_BUFFER_TOO_SMALL

      size = length.read(:size_t) * 5 / 4 + 1024
    end
  end

  def reopen
    raise ClosedError.new("the deployment is closed") if @closed

    opened = Options.with(@url, **@options) { |options| Native.make(:free, :open, options) }
    # What was told the parent since it was opened holds for the child.
    @updates.each_value { |update| update.call(opened) }
    @handle = opened
    # After the handle, by which the tickets that other threads give back are known to be old.
    @tickets = []
    @slots = []
    @pid = Process.pid
  end

  def update(function, username, password)
    bytes = password.to_s.b
    renew(function) do |deployment|
      Native.failing { |error| Native.public_send(function, deployment, username, bytes, bytes.bytesize, error) }
    end
  end

  # Does it now, and in children after fork.
  def renew(what, &update)
    update.call(handle)
    @updates[what] = update
    nil
  end

  def discover(function, service)
    deployment = handle
    Native.aside(at_exit: method(:close)) do
      out = FFI::MemoryPointer.new(:pointer)
      Native.failing { |error| Native.public_send(function, deployment, service, 0, out, error) }
      Node.take(out.read_pointer)
    end
  end
end
