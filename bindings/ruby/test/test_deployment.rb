# frozen_string_literal: true

require_relative "helper"

class TestDeployment < Minitest::Test
  include Topology

  def test_new_passwords_are_taken_over_without_a_failed_call
    admin = primary
    admin.call("ACL", "SETUSER", "rb:user", "reset", "on", ">first", "~*", "&*", "+@all")
    mine = SentinelRedis.new(sentinels: sentinels, username: "rb:user", password: "first", timeout_ms: 2000)
    client = mine.primary(service)
    assert_equal "rb:user", client.call("ACL", "WHOAMI")
    admin.call("ACL", "SETUSER", "rb:user", ">second")
    mine.update_credentials("second", username: "rb:user")
    admin.call("ACL", "SETUSER", "rb:user", "<first")
    admin.call("CLIENT", "KILL", "USER", "rb:user")
    assert_equal "rb:user", client.call("ACL", "WHOAMI")
    mine.update_sentinel_credentials(nil)
    assert_raises(SentinelRedis::ConnectionError) do
      mine.update_credentials("wrong", username: "rb:user")
      admin.call("CLIENT", "KILL", "USER", "rb:user")
      client.call("ACL", "WHOAMI")
    end
  ensure
    mine&.close
    admin.call("ACL", "DELUSER", "rb:user")
  end

  def test_sentinels_are_replaced_by_others
    mine = SentinelRedis.new(sentinels: sentinels, timeout_ms: 2000)
    assert_equal "PONG", mine.primary(service).call("PING")
    mine.update_sentinels(*sentinels)
    assert_equal 1, [mine.discover_primary(service)].size
    assert_raises(SentinelRedis::Error) { mine.update_sentinels }
  ensure
    mine&.close
  end

  def test_events_of_a_deployment
    mine = SentinelRedis.new(sentinels: sentinels)
    watch = mine.watch(:connection)
    mine.primary(service).connect
    event = watch.next_event(timeout: PATIENCE)
    assert_equal ["connection", service, "made", "primary"],
                 [event.name, *event.fields.values_at("service", "change", "role")]
    assert_nil watch.next_event(timeout: 0.001) until watch.next_event(timeout: 0.05).nil?
    reader = Thread.new { watch.to_a }
    eventually("nobody reads") { reader.stop? }
    watch.close
    assert_equal [], reader.value
    assert_raises(SentinelRedis::UsageError) { mine.watch(:no_such_event) }
    ended = Thread.new { mine.watch { |one| flunk one.to_s } }
    eventually("nobody reads") { ended.stop? }
    mine.close
    assert ended.join(PATIENCE), "a watch outlives its deployment"
  end
end
