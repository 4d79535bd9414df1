# frozen_string_literal: true

# The subscriptions of a storm: each message comes once and in order, or there is a gap, and it is told in front of the
# first message after it.
module StormMessages
  private

  def hear(random)
    unrest = @unrest
    channel = "storm:channel:#{unique}"
    heard, fates, done = [], [], false
    subscription = @primary.subscribe
    subscription.on_event { |event| heard << event.name }
    subscription.subscribe(channel)
    listen_until(subscription, heard, "subscribed") or return
    publisher = Thread.new do
      publish(random, channel, fates)
    ensure
      done = true
    end
    until done
      message = subscription.next_message(timeout: 0.05)
      heard << message.payload if message
    end
    publisher.join
    last = "end:#{unique}"
    told = listen_until(subscription, heard, last) { ping_channel(channel, last) }
    order(channel, heard, fates) if told
  rescue SentinelRedis::Error, SystemCallError => e
    broke("subscribe: #{e.inspect}") if unrest.even? && unrest == @unrest
    sleep 0.05
  ensure
    subscription&.close unless random.rand(8).zero? # otherwise it is the collector's
  end

  def ping_channel(channel, word)
    @primary.call("PUBLISH", channel, word)
  rescue SentinelRedis::Error
    nil
  end

  # Whether a word comes within half a minute.
  def listen_until(subscription, heard, word)
    limit = now + 30
    until heard.include?(word)
      yield if block_given?
      message = subscription.next_message(timeout: 0.1)
      heard << message.payload if message
      if now > limit
        broke("a subscription has not told of #{word} in 30 s: #{heard.last(20)}")
        return false
      end
    end
    true
  end

  # What became of each number: :reached a subscriber, :nobody, :never published, or :unknown.
  def publish(random, channel, fates)
    random.rand(300).times do |n|
      break if @over

      got = try("publish", random) { |timeout| @primary.call("PUBLISH", channel, n, timeout: timeout) }
      fates[n] = case got
                 when Integer then got.positive? ? :reached : :nobody
                 when SentinelRedis::Error then got.outcome == :unknown ? :unknown : :never
                 else :unknown
                 end
      sleep random.rand(0.01) if random.rand(4).zero?
    end
  end

  # A call that was given up may publish after the next.
  def order(channel, heard, fates)
    last, gap, gaps, seen = -1, false, 0, Set.new
    heard.each do |word|
      if word == "subscription_gap"
        gap = true
        gaps += 1
      elsif word.match?(/\A\d+\z/)
        number = word.to_i
        if number >= fates.size || fates[number] == :never
          return broke("#{channel}: message #{number} was never published")
        end

        fresh = seen.add?(number)
        next if fresh && number < last && fates[number] == :unknown

        missing = fates[last + 1...number]&.include?(:reached)
        if missing && !gap || number <= last && gaps.zero?
          return broke("#{channel}: #{number} after #{last}, #{gaps} gaps were told, not there")
        end
        last, gap = number, false
      end
    end
    broke("#{channel}: nothing after #{last} of #{fates.size}") if fates[last + 1..]&.include?(:reached) && !gap
  end
end
