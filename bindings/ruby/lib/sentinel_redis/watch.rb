# frozen_string_literal: true

class SentinelRedis
  # What happens to a deployment, as the library sees it: each Event has a name of EVENTS, and the fields that sentinel.h
  # lists for it, "service" among them. An event that finds CAPACITY of them unread is dropped.
  class Watch
    include Enumerable
    include Native::Unique

    EVENTS = Native.names("EVENT_").invert.freeze
    CAPACITY = 4096

    def initialize(deployment, inbox, names)
      names = EVENTS.keys - [:connection] if names.empty?
      mask = names.sum { |name| EVENTS.fetch(name) { raise UsageError.new("no event is named #{name}") } }
      @deployment = deployment
      @inbox = inbox
      Native.failing { |error| Native.watch_events(deployment, mask, @inbox.queue, 0, error) }
    end

    # The next Event; nil when none came within timeout seconds, or the deployment is closed. One thread at a time.
    def next_event(timeout: nil) = @inbox.next(timeout && (Inbox.now + timeout))

    # Every event, until the watch or its deployment is closed.
    def each
      return enum_for(:each) unless block_given?

      while (event = next_event)
        yield event
      end
      self
    end

    def inspect = "#<#{self.class}>"

    # Ends the watch: no more events come, and whoever waits for one is sent away.
    def close
      @inbox.close
      Native.watch_events(@deployment, 0, @inbox.queue, 0, nil)
      nil
    end
  end
end
