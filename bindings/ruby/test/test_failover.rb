# frozen_string_literal: true

require_relative "helper"

class TestFailover < Minitest::Test
  include Topology

  WRITERS = 8

  def test_survives_a_primary_that_is_killed
    client = primary.connect
    old = client.node.to_s
    watch = deployment.watch(:primary_changed)
    acknowledged = Array.new(WRITERS, 0)
    unknown = Queue.new
    stop = false
    writers = Array.new(WRITERS) do |i|
      Thread.new do
        until stop
          begin
            client.call("SET", "rb:failover:#{i}", acknowledged[i], timeout: 20)
            acknowledged[i] += 1
          rescue SentinelRedis::ConnectionError => e
            # It was under way when the primary died.
            raise unless e.outcome == :unknown

            unknown << e
          end
        end
      end
    end
    eventually("nothing is written") { acknowledged.all?(&:positive?) }
    assert_equal old, lab("kill-primary")
    eventually("the client stays with the dead primary") { client.node && client.node.to_s != old }
    after = acknowledged.sum
    eventually("nothing is written to the new primary") { acknowledged.sum > after + 100 }
    stop = true
    writers.each(&:join)
    event = watch.next_event(timeout: PATIENCE)
    assert_equal ["primary_changed", old], [event.name, event.fields["from"]]
    refute_equal old, event.fields["to"]
    assert_operator unknown.size, :<=, 2 * WRITERS
  ensure
    stop = true
    lab("restart-killed")
    lab("wait-settled")
  end
end
