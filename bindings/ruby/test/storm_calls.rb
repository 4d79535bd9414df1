# frozen_string_literal: true

# The calls of a storm, and what each may give.
module StormCalls
  # A call that is watched: what it may give depends on its time, on who ends it, and on what happened meanwhile.
  # manner: how it is ended; limit: when, nil by the client.
  Try = Struct.new(:what, :manner, :limit, :may_close, :unrest, :stall, :stress, :begun)

  MANNERS = %i[plain plain plain long long short short expire expire raise kill].freeze
  IN_FIBERS = %i[plain long short].freeze
  THINGS = %i[echo echo echo key key pipeline pipeline transaction counter walk own own block client forget].freeze
  # What comes of a try: the value of its block, :cut, or the error.
  CUT = Object.new

  private

  def unique = "s#{@seed}:#{@lock.synchronize { @serial += 1 }}"

  def work(random) = send(THINGS.sample(random: random), random)

  def either(random) = random.rand(3).zero? ? @replica : @primary

  # Runs the block in one manner or another with the timeout to give, and judges what comes of it.
  def try(what, random, manners: MANNERS, may_close: false, timed: true, &block)
    @calls += 1
    attempt = Try.new(what, manners.sample(random: random), nil, may_close, @unrest, @stall, @stress, now)
    attempt.limit = { plain: nil, long: 3.0 }.fetch(attempt.manner) { random.rand(0.02) + 0.0005 }
    result = begin
      send("in_#{attempt.manner}", attempt.limit, random, &block)
    rescue SentinelRedis::Error, SystemCallError => e
      e
    end
    in_time(attempt, result) if timed
    judge(attempt, result)
    result
  end

  def in_plain(_limit, _random) = yield(nil)
  def in_long(limit, _random) = yield(limit)
  def in_short(limit, _random) = yield(limit)

  def in_expire(limit, random)
    kind = random.rand(2).zero? ? Storm::Cut : nil
    Timeout.timeout(limit, kind) { yield(nil) }
  rescue Storm::Cut, Timeout::Error
    CUT
  end

  def in_raise(limit, random, &block)
    from_outside(limit, random, -> (thread) { thread.raise(Storm::Cut) }, &block)
  end

  def in_kill(limit, random, &block)
    from_outside(limit, random, :kill.to_proc, &block)
  end

  def from_outside(limit, random, how)
    result = CUT
    timeout = [nil, 1.5 * limit].sample(random: random)
    # It begins with what comes from outside held back.
    thread = Thread.handle_interrupt(Storm::Cut => :never) do
      Thread.new do
        Thread.handle_interrupt(Storm::Cut => :immediate) { result = yield(timeout) }
      rescue Storm::Cut
        nil
      rescue SentinelRedis::Error, SystemCallError => e
        result = e
      end
    end
    sleep limit
    how.call(thread)
    thread.join(Storm::PATIENCE) || hangs(thread)
    result
  end

  def calm?(attempt) = attempt.unrest.even? && attempt.unrest == @unrest

  # Whoever has a slot, or the call itself, may have waited all its time for the lock of the VM.
  def stalled?(attempt) = Storm::TURNS * (@stall - attempt.stall) > (attempt.limit || Storm::UNLIMITED)

  def in_time(attempt, result)
    late = now - attempt.begun - (attempt.limit || Storm::UNLIMITED) - Storm::TURNS * (@stall - attempt.stall)
    slack = attempt.stress.even? && attempt.stress == @stress ? Storm::SLACK : Storm::PATIENCE
    broke("#{attempt.what} is #{late.round(2)} s late: #{attempt}, #{result.inspect}") if late > slack
  end

  def judge(attempt, result)
    @counts["CUT"] += 1 if result.equal?(CUT)
    return unless result.is_a?(Exception)

    @counts[result.class.name.delete_prefix("SentinelRedis::")] += 1
    return if allowed?(attempt, result)

    broke("#{result.class} is not to be expected of #{attempt}: #{result.message}, outcome " \
          "#{result.outcome if result.respond_to?(:outcome)}\n#{result.backtrace&.first(12)&.join("\n")}")
  end

  def allowed?(attempt, error)
    unrest = !calm?(attempt)
    short = !attempt.limit.nil? && attempt.limit < 1
    case error
    when SentinelRedis::TimeoutError, SentinelRedis::PoolExhaustedError
      unrest || %i[long short raise kill].include?(attempt.manner) || stalled?(attempt)
    when SentinelRedis::ClosedError then attempt.may_close
    when SentinelRedis::PrimaryNotFoundError, SentinelRedis::ReplicaNotFoundError, SentinelRedis::CannotConnectError,
         SentinelRedis::ConnectionLostError
      unrest || short
    when SentinelRedis::TransactionAbortedError, SentinelRedis::WrongStateError, SentinelRedis::ReadOnlyError,
         SentinelRedis::LoadingError, Errno::EMFILE
      unrest
    else unrest && error.is_a?(SentinelRedis::Error) && error.message.match?(/open files/)
    end
  end

  def same(what, want, got)
    broke("#{what}: want #{want[0, 80]}, got #{got.inspect[0, 80]}, which is another's") unless got == want
  end

  def echo(random, client = either(random), **options)
    want = unique
    want += "x" * random.rand(200_000) if random.rand(20).zero?
    try("echo", random, **options) { |timeout| same("echo", want, client.call("ECHO", want, timeout: timeout)) }
  end

  # A key holds nothing but what was written to it.
  def key(random, **options)
    name = "storm:key:#{random.rand(50)}"
    try("set", random, **options) { |timeout| @primary.call("SET", name, "#{name}|#{unique}", timeout: timeout) }
    try("get", random, **options) do |timeout|
      got = either(random).call("GET", name, timeout: timeout)
      broke("get #{name}: got #{got}, which is another's") unless got.nil? || got.start_with?("#{name}|")
    end
  end

  def pipeline(random, **options)
    wants = Array.new(1 + random.rand(30)) { unique }
    unrest = @unrest
    try("pipeline", random, **options) do |timeout|
      replies = either(random).pipelined(exception: false, timeout: timeout) do |batch|
        wants.each { |want| batch.call("ECHO", want) }
      end
      broke("#{replies.size} replies of #{wants.size}") unless replies.size == wants.size
      replies.zip(wants) do |got, want|
        cut = got.is_a?(SentinelRedis::ConnectionLostError) && (timeout || unrest.odd? || unrest != @unrest)
        same("pipeline", want, got) unless cut
      end
    end
  end

  # Nothing comes between its commands, so that both counters are always equal.
  def transaction(random, **options)
    pair, want = "storm:pair:#{random.rand(5)}", unique
    try("transaction", random, **options) do |timeout|
      a, got, b = @primary.multi(timeout: timeout) do |batch|
        batch.call("INCR", "#{pair}:a").call("ECHO", want).call("INCR", "#{pair}:b")
      end
      same("transaction", want, got)
      broke("a transaction of #{pair} was torn: #{a}, #{b}") unless a == b
    end
  end

  # What was acknowledged was done, and what was promised not to have been done was not. A failover may lose what
  # was acknowledged; nothing may be done twice.
  def counter(random, **options)
    name, unrest = "storm:counter:#{unique}", @unrest
    acknowledged = unknown = last = 0
    20.times do
      break if @over

      got = try("incr", random, **options) { |timeout| @primary.call("INCR", name, timeout: timeout) }
      if got.is_a?(Integer)
        acknowledged += 1
        lost = unrest.odd? || @unrest != unrest
        if got <= last && !lost || got > acknowledged + unknown
          broke("incr #{name}: #{got} after #{last}; #{acknowledged} acknowledged, #{unknown} unknown")
        end
        last = got
      elsif !got.is_a?(SentinelRedis::Error) || got.outcome == :unknown
        unknown += 1
      end
    end
    counted = @primary.call("GET", name).to_i
    lost = unrest.odd? || @unrest != unrest
    return if counted <= acknowledged + unknown && (counted >= acknowledged || lost)

    broke("#{name} is #{counted}; #{acknowledged} acknowledged, #{unknown} unknown, failover: #{lost}")
  rescue SentinelRedis::Error => e
    broke("#{name}: #{e.inspect}") if unrest.even? && unrest == @unrest
  end

  # What is there all the time is given at least once, however often the wait for a page is ended.
  def walk(random, manners: %i[plain long short raise])
    scan = either(random).sscan("storm:set", count: 20 + random.rand(200))
    seen, unrest, ended = Set.new, @unrest, false
    until ended || @over
      got = try("scan", random, manners: manners) do |timeout|
        # The exception comes where the page is waited for, or not at all.
        Thread.handle_interrupt(Storm::Cut => :on_blocking) do
          page = scan.next_page(timeout: timeout)
          page ? seen.merge(page) : ended = true
        end
      end
      return if got.is_a?(SentinelRedis::Error) && (got.is_a?(SentinelRedis::WrongStateError) || unrest != @unrest)
    end
    strange = seen.reject { |member| member.match?(/\A\d+\z/) && member.to_i < Storm::MEMBERS }
    broke("a scan gave #{strange.inspect}") unless strange.empty?
    return if !ended || seen.size == Storm::MEMBERS || unrest.odd? || unrest != @unrest

    broke("a scan gave #{seen.size} of #{Storm::MEMBERS} members")
  end

  # A connection of one's own, on which a transaction is run by hand, and which is given back in every way.
  def own(random, **options)
    try("acquire", random, **options) do |timeout|
      next dropped(timeout, random.rand(2).zero?) if random.rand(6).zero? && !@dropped

      @primary.acquire(timeout: timeout) { |connection| by_hand(random, connection, timeout) }
    end
  end

  # The collector's, unless it is released: one at a time, for it holds a slot until then. In a thread that ends: what a
  # stack seems to refer to is not collected, and a thread that waits for a slot may have its last connection there.
  def dropped(timeout, release)
    @dropped = true
    thread = Thread.new do
      kept = @primary.acquire(timeout: timeout)
      kept.release if release
      nil
    end
    thread.report_on_exception = false
    thread.value
  end

  def by_hand(random, connection, timeout)
    want, name = unique, "storm:watched:#{random.rand(3)}"
    same("on a connection", want, connection.call("ECHO", want, timeout: timeout))
    connection.call("WATCH", name)
    connection.call("MULTI")
    connection.call("INCR", name)
    connection.call("ECHO", want)
    return if random.rand(4).zero? # left in a transaction

    replies = connection.call("EXEC")
    same("a transaction by hand", want, replies.last) if replies
  rescue SentinelRedis::TransactionAbortedError
    nil
  end

  # A command that waits in the server, and is ended.
  def block(random, manners: %i[short expire raise kill])
    list = "storm:list:#{unique}"
    try("blpop", random, manners: manners) do |timeout|
      got = @primary.call("BLPOP", list, 0, timeout: timeout)
      broke("BLPOP of nothing gave #{got.inspect}")
    end
  end

  # What is freed is freed once, wherever that is ended.
  def let_go(random, manners: %i[expire raise kill])
    try("close", random, manners: manners, timed: false) { 20.times { @primary.subscribe.close } }
    sleep random.rand(0.02) # for it leaves nobody else the lock of the VM
  end

  def client(random, **options) = echo(random, @redis.primary(@service), **options)

  # What nobody closes is freed by the collector.
  def forget(random, **options)
    return client(random, **options) unless random.rand(20).zero?

    redis = open_another
    echo(random, redis.primary(@service), **options) if redis
  end

  # May fail where there is no descriptor.
  def open_another
    unrest = @unrest
    SentinelRedis.new(sentinels: @sentinels, timeout_ms: (Storm::UNLIMITED * 1000).to_i)
  rescue SentinelRedis::Error, SystemCallError => e
    broke("open: #{e.inspect}") if unrest.even? && unrest == @unrest
    nil
  end

  # Whole deployments that are closed under their calls, subscriptions and fibers.
  def doom(random)
    redis = open_another or return sleep(0.05)
    client = redis.primary(@service)
    callers = Array.new([1, 5, 20].sample(random: random)) do
      own = Random.new(random.rand(2**32))
      Thread.new do
        result = nil
        until result.is_a?(SentinelRedis::ClosedError)
          result = echo(own, client, manners: IN_FIBERS, may_close: true)
        end
      end
    end
    hearer = Thread.new { unheard(client) }
    sleep random.rand(0.1)
    redis.close
    (callers << hearer).each { |thread| thread.join(Storm::PATIENCE) || hangs(thread) }
  end

  # Ends with its deployment.
  def unheard(client)
    client.subscribe("storm:unheard:#{unique}") { |message| broke("#{message} from nobody") }
  rescue SentinelRedis::ClosedError
    nil
  rescue SentinelRedis::Error, SystemCallError => e
    broke("subscribe: #{e.inspect}") unless e.message.match?(/open files/)
  end

  # The same by fibers of one thread, some of which are ended where they wait.
  def fibers(random)
    return sleep(0.01) if @unrest.odd? # a scheduler needs descriptors

    thread = Thread.new do
      scheduler = SmallScheduler.new
      Fiber.set_scheduler(scheduler)
      going = 0
      (1 + random.rand(30)).times do
        own = Random.new(random.rand(2**32))
        Fiber.schedule do
          going += 1
          3.times do
            what = %i[echo echo key pipeline transaction counter own].sample(random: own)
            send(what, own, manners: IN_FIBERS)
          end
        rescue Interrupt
          @counts["CUT FIBER"] += 1
        ensure
          going -= 1
        end
      end
      Fiber.schedule do
        while going.positive?
          sleep random.rand(0.005)
          ended = scheduler.waiting.sample(random: random)
          scheduler.end_of(ended) if ended
        end
      end
    end
    thread.join(Storm::PATIENCE) || hangs(thread)
  rescue Errno::EMFILE
    nil
  end

  # Children of a process with all this under way.
  def children(random)
    sleep random.rand(0.3)
    unrest = @unrest
    pid = fork { exit!(child ? 0 : 1) }
    limit = now + 30
    until (ended = Process.wait2(pid, Process::WNOHANG))
      if now > limit
        Process.kill(:ABRT, pid)
        Process.wait(pid)
        return broke("a child has not ended in 30 s")
      end
      sleep 0.005
    end
    @children += 1
    broke("a child: #{ended[1]}") if !ended[1].success? && unrest.even? && unrest == @unrest
  end

  def child
    GC.stress = false
    GC.start
    name = "storm:child:#{Process.pid}"
    redis = SentinelRedis.new(sentinels: @sentinels)
    right = [@primary, redis.primary(@service)].all? { |client| client.call("ECHO", name, timeout: 20) == name }
    redis.close
    @redis.close
    right
  rescue SentinelRedis::Error, SystemCallError => e
    warn "child: #{e.full_message(highlight: false)}" if @unrest.even?
    false
  end
end
