# frozen_string_literal: true

require_relative "helper"

class TestSubscription < Minitest::Test
  include Topology

  def subscribed(*channels, **options)
    primary.subscribe(*channels, **options)
  rescue SentinelRedis::UnavailableError
    skip "subscriptions are not in this version of the library"
  end

  # Publishes until the message arrives: the server may not have been told of the subscription yet.
  def publish_until(subscription, channel, payload)
    found = nil
    eventually("no message") do
      primary.call("PUBLISH", channel, payload)
      found = subscription.next_message(timeout: 0.05)
    end
    found
  end

  def test_messages_arrive
    subscription = subscribed("rb:channel", patterns: ["rb:pat*"])
    events = []
    subscription.on_event { |event| events << event }
    message = publish_until(subscription, "rb:channel", "hello")
    assert_equal ["subscribed", "rb:channel"], [events.first.name, events.first.fields["channel"]]
    assert_equal ["message", nil, "rb:channel", "hello"], message.to_a
    message = publish_until(subscription, "rb:pattern", "x") until message&.kind == "pmessage"
    assert_equal ["pmessage", "rb:pat*", "rb:pattern", "x"], message.to_a
    subscription.close
    assert_nil subscription.next_message
    assert_raises(SentinelRedis::ClosedError) { subscription.subscribe("x") }
  end

  def test_a_child_after_fork_subscribes_again
    subscription = subscribed("rb:forked")
    child = fork do
      subscription.next_message(timeout: 1)
      exit!(1)
    rescue SentinelRedis::ForkedError
      mine = primary.subscribe("rb:forked")
      exit!(publish_until(mine, "rb:forked", "in the child").payload == "in the child" ? 0 : 1)
    end
    assert Process.wait2(child).last.success?
    subscription.close
  end

  def test_each_waits_while_other_threads_run
    subscription = subscribed("rb:each")
    found = Thread.new { subscription.first }
    eventually("no message") do
      primary.call("PUBLISH", "rb:each", "there")
      found.join(0.05)
    end
    assert_equal "there", found.value.payload
    subscription.close
  end
end
