# frozen_string_literal: true

require "minitest/autorun"
require "open3"
require "timeout"
require "sentinel_redis"

# The tests run inside `lab run`, which names the topology in SERVICE and SENTINELS; $LAB is the lab's program.
module Topology
  PATIENCE = 60

  def service = ENV.fetch("SERVICE")
  def sentinels = ENV.fetch("SENTINELS").split(",")

  def deployment(**options)
    @deployment ||= SentinelRedis.new(sentinels: sentinels, **options)
  end

  def primary(**overrides)
    deployment.primary(service, **overrides)
  end

  def lab(order)
    output, status = Open3.capture2(ENV.fetch("LAB"), "ctl", *order)
    assert status.success?, "lab ctl #{order}"
    output.strip
  end

  # Asks until the answer is yes.
  def eventually(what)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE
    until yield
      flunk what if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      sleep 0.005
    end
  end

  def blocked_clients
    primary.call("INFO", "clients")[/blocked_clients:(\d+)/, 1].to_i
  end

  def teardown
    @deployment&.close
  end
end
