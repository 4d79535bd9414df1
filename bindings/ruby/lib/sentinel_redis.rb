# frozen_string_literal: true

require_relative "sentinel_redis/version"
require_relative "sentinel_redis/native"
require_relative "sentinel_redis/errors"
require_relative "sentinel_redis/reply"
require_relative "sentinel_redis/ticket"
require_relative "sentinel_redis/connection"
require_relative "sentinel_redis/script"
require_relative "sentinel_redis/scan"
require_relative "sentinel_redis/client"
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
  # A server or a Sentinel, as it was at one moment.
  Node = Struct.new(:host, :port, :role) do
    def to_s = host.include?(":") ? "[#{host}]:#{port}" : "#{host}:#{port}"

    # The nodes of a list, which is freed.
    def self.take(list)
      Array.new(Native.nodes_len(list)) do |index|
        role = { 1 => :primary, 2 => :replica, 3 => :sentinel }[Native.nodes_role(list, index)]
        new(Native.nodes_host(list, index), Native.nodes_port(list, index), role)
      end
    ensure
      Native.nodes_free(list)
    end
  end

  # Makes options for the library of keywords. A dot of a key is a double underscore: sentinel__password.
  module Options
    SECRETS = %w[password username sentinel.password sentinel.username].freeze

    def self.with(url = nil, sentinels: [], **keys)
      options = FFI::AutoPointer.new(Native.options_new, Native.method(:options_free))
      Native.failing { |error| Native.options_parse_url(options, url, error) } if url
      sentinels.each do |address|
        host, port = address.match(/\A\[?(.+?)\]?(?::(\d+))?\z/).captures
        Native.failing { |error| Native.options_add_sentinel(options, host, Integer(port || 26_379, 10), error) }
      end
      keys.each { |key, value| set(options, key.to_s.gsub("__", "."), value) }
      yield options
    end

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
    @url = url
    @options = options
    @opening = Mutex.new
    @tickets = []
    @inboxes = ObjectSpace::WeakMap.new
    handle
  end

  # A client of the primary of a service; nil is the service of the URL. Keywords override the deployment's options.
  def primary(service = nil, **overrides) = Client.new(self, :primary_for, service, overrides)

  # A client of the replicas of a service: each command goes to one of them, and to the primary when there is none,
  # unless replica__fallback_to_primary is false.
  def replica(service = nil, **overrides) = Client.new(self, :replica_for, service, overrides)

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
    Options.with(sentinels: sentinels) do |options|
      Native.failing { |error| Native.update_sentinels(handle, options, error) }
    end
    nil
  end

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
    Native.close(handle, 0)
    # A queue's descriptor tells of what is in it, and not of its end.
    @inboxes.each_key(&:close)
    nil
  end

  # For the library: the handle of this process.
  def handle
    return @handle if @pid == Process.pid

    # Forked: what was inherited is of no use here, and is freed with the objects that hold it.
    @opening.synchronize do
      return @handle if @pid == Process.pid

      @handle = Options.with(@url, **@options) { |options| Native.make(:free, :open, options) }
      # After the handle, by which the tickets that other threads give back are known to be old.
      @tickets = []
      @pid = Process.pid
    end
    @handle
  end

  # For the library: an Inbox, which ends with the deployment.
  def inbox(capacity)
    inbox = Inbox.new(handle, capacity)
    @inboxes[inbox] = true
    inbox
  end

  # For the library: a Ticket that nobody else has until it is given back.
  def take_ticket = @tickets.pop || Ticket.new(handle)

  # One that is worn, or from before a fork, is of no more use.
  def give_ticket(ticket)
    if ticket.deployment.equal?(@handle) && !ticket.worn?
      @tickets.push(ticket)
    else
      ticket.close
    end
  end

  private

  def update(function, username, password)
    bytes = password.to_s.b
    Native.failing { |error| Native.public_send(function, handle, username, bytes, bytes.bytesize, error) }
    nil
  end

  def discover(function, service)
    out = FFI::MemoryPointer.new(:pointer)
    Native.failing { |error| Native.public_send(function, handle, service, 0, out, error) }
    Node.take(out.read_pointer)
  end
end
